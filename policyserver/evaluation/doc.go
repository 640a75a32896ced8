// Package evaluation holds what is served: the set of policies, each with its module,
// settings and mode, and what becomes of a policy's verdict.
//
// What belongs here: building the set from a decoded policies.yml while the old one
// serves (loader.go, entry.go, prepare.go, modules.go), finding a policy (environment.go),
// asking its module (guest.go) or the members of a group (group.go), having settings checked
// by a module that is loaded (settings.go), and turning the verdict
// into the answer by mode, mutation rule and custom message (response.go, patch.go).
//
// What never does: HTTP and the encoding of reviews (policyserver/server), how a guest is
// called (policyserver/policy), the language of groups (policyserver/groups), where a module comes from (policyserver/fetch), and where
// policies.yml comes from.
//
// Where the data goes next: Evaluate gives a Response to policyserver/server; Snapshot is
// what the replica's report is made from.
package evaluation
