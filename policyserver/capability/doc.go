// Package capability is the folder of what policies may ask of the world by way of the
// host, other than of a cluster: each room serves one namespace of host calls.
//
//	certificate   crypto: whom a certificate is trusted by
//	dns           net: the addresses of a host
//	oci           oci: what registries hold, and who signed it
//	answers       what was answered a moment ago, and who is being asked right now
//
// What belongs here: reading a guest's payload, asking, and writing the answer as upstream's
// guests expect it (crate policy-evaluator, modules callback_handler and callback_requests).
//
// What never does: grants. Who may call what is decided before a call comes here
// (policyserver/policy/host), and the engine knows none of these rooms: they are handed in.
package capability
