// Package policyserver reconciles a PolicyServer into its children: accounts and rights,
// the ConfigMap with its policies, the one its replicas report in, certificate, Service,
// disruption budget and Deployment.
//
// What belongs here: reading everything that counts (observe.go) and what the spec refers to
// (references.go), the order of deletion (delete.go), what the status says (status.go,
// pure), and what wakes the reconciler (watches.go).
//
// What never does: what a child looks like (controllers/render), how it is written
// (controllers/apply), when a certificate is presented (controllers/certs), and webhooks
// (controllers/policy).
//
//	PolicyServer -> observe: Kubewarden, bound policies, Pods, reports, Deployment
//	             -> render  -> apply -> certificate -> prune -> status
//
// Where the data goes next: the replicas watch the ConfigMap and report; controllers/policy
// reads the reports.
package policyserver
