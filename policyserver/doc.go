// Package policyserver makes a policy server out of its rooms.
//
// What belongs here: which room gets what from which (policyserver.go), and where the
// configuration comes from: files (files.go) or Kubernetes (live.go), and for both the file
// of the signatures that are demanded (demands.go).
//
// What never does: anything that one of the rooms could do:
//
//	contract    what the operator and a policy server agree on
//	kube        the configuration out of a ConfigMap, reports into another
//	fetch       modules from registries, web servers and files
//	policy      the engine: compiled modules and their calls
//	capability  what policies may ask of the world by way of the host
//	groups      the language of policy groups
//	evaluation  the set of policies, and what becomes of a verdict
//	server      HTTP, TLS, reviews in and out
//	telemetry   metrics and logs
//
// A request passes server, evaluation and policy, and comes back the same way. A
// configuration passes kube (or files.go), contract and evaluation, which asks fetch and
// policy for what it lacks; what came of it goes back through kube as a report.
package policyserver
