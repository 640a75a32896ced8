// Package plan decides what an audit scan has to do: which kinds of objects to list, in
// which version, and which policies to ask about them.
//
// What belongs here: pure functions over the policies, the kinds that the cluster serves,
// and a namespace. Everything that is left out has a reason that is kept in the plan, so
// that nothing is left out silently.
//
// What never does: clients, clocks, logs, and answers of policies. The types of the API
// are not read here either: audit/scan translates each kind of policy into a Policy.
//
// Where the data goes next: audit/scan lists the kinds of a plan and asks its questions;
// audit/report puts what a Policy tells of itself beside the answer.
package plan
