// Package metrics has the operator's own metrics: what Prometheus is told of the
// installation as a whole. The reconcilers write statuses, and a scrape reads those
// statuses out of the caches; it asks the API server nothing.
//
//	installation.go  is there a Kubewarden, are its conditions true, is enforcement suspended
//	audit.go         what the audit that ended last found and left out
//	policies.go      policies by kind, stage and mode, and why some are not ready
//	servers.go       replicas of policy servers: wanted, ready, up to date
//	certificates.go  when certificates that are in use expire
//
// All replicas of the operator keep caches and tell the same; who sums up over them takes
// the largest. No label has a value that a tenant can choose.
//
// What belongs here: metrics about what the operator looks after. The work of its queues
// and clients is counted by controller-runtime.
//
// What never does: metrics of policy servers (policyserver/telemetry), and alerts
// (controllers/render).
//
// Where the data goes next: to the registry that controllers hands in.
package metrics
