// Package kube is what a policy server has to do with Kubernetes: its configuration comes
// out of one ConfigMap, and what it serves is reported into another.
//
// What belongs here: watching (configmap.go) and writing (reporter.go) those two by name,
// with no more rights than that. The host capability "kubernetes" has a room of its own
// (objects).
//
// What never does: what the configuration means (policyserver/contract,
// policyserver/evaluation).
//
// Where the data goes next: the ConfigMap's data goes to whoever decodes it and calls
// evaluation.Loader.Apply; reports are read by controllers/policyserver.
package kube
