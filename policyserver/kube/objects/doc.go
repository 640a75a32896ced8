// Package objects is the host capability kubernetes: it reads objects of a cluster for
// policies, and asks who may do what.
//
// What belongs here: the payloads and answers of the four operations, as upstream's guests
// know them (crate policy-evaluator, callback_handler/kubernetes); what is known of each kind
// (kinds.go); one watch for each kind that policies list (watch.go, follow.go, store.go),
// which begins when a policy is loaded that may and ends when there is none, or else with
// the first question and when nobody has asked for a while (want.go); the memory that they
// have, and what goes when there is no more (room.go); and the documents that policies in
// Rego get as data (inventory.go).
//
// What never does: who may call which operation (policyserver/policy/host decides that
// before). Kinds and namespaces are told only by payloads: here they are read, and judged by
// Request.CheckRead and CheckScope.
package objects
