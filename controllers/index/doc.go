// Package index knows the kinds of policies and finds policies by the PolicyServer they
// are bound to.
//
// What belongs here: the list of kinds, the field index on spec.policyServer, and the
// questions it answers.
//
// What never does: anything about one policy.
//
// Where the data goes next: controllers/policy makes one reconciler per kind;
// controllers/policyserver renders the policies of a server; controllers/stack counts.
package index
