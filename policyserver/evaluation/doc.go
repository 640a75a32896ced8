// Package evaluation holds what is served: the set of policies, each with its module,
// settings and mode, and what becomes of a policy's verdict.
//
// What belongs here: building the set from a decoded policies.yml while the old one
// serves (loader.go, prepare.go, modules.go), finding and asking a policy
// (environment.go), and turning its verdict into the answer by mode, mutation rule and
// custom message (response.go, patch.go).
//
// What never does: HTTP and the encoding of reviews (policyserver/server), how a guest is
// called (policyserver/policy), where a module comes from (policyserver/fetch), and where
// policies.yml comes from.
//
// Where the data goes next: Evaluate gives a Response to policyserver/server; Snapshot is
// what the replica's report is made from.
package evaluation
