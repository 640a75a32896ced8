// Package protocol holds what a policy is asked and what it answers: the JSON documents
// that are the same for every way of calling a guest. The format is upstream's
// (crate policy-evaluator, module admission_response and crate kubewarden-policy-sdk).
//
// What belongs here: the one Go type of each document, built from raw bytes where the
// host writes it and decoded strictly where the guest does.
//
// What never does: how the bytes travel (that is a room per execution mode), and what a
// verdict means for a request (policyserver/evaluation).
package protocol
