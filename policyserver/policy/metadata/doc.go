// Package metadata is what a policy says of itself: the JSON document in the custom
// section "io.kubewarden.metadata" of its module. The format is upstream's (crate
// policy-evaluator, module policy_metadata).
//
// What belongs here: the one Go type of the document, its decoder and encoder, and the
// rules that decide whether a policy server takes it.
//
// What never does: finding the section in a module (policyserver/policy/wasm).
package metadata
