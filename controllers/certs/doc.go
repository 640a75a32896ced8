// Package certs keeps the certificates of an installation: the authority that signs, what
// API servers are told to trust, and the pair that each policy server presents.
//
//	Issuer kubewarden-selfsigned -> Certificate kubewarden-ca-cm -> Issuer kubewarden-ca
//	        |                                                            |
//	        |                                                            |
//	Secret kubewarden-ca (published)                 Secret policy-server-<name>-issued
//	        |                                                            |
//	        |                                                            |  only once trusted
//	caBundle of every webhook                        Secret policy-server-<name> (mounted)
//
// What belongs here: the plans, which are pure functions of what was observed and of the
// time (plan.go), the code that observes and takes the step that was planned, and what
// wakes it. It runs inside the reconcilers whose objects it is about: controllers/stack
// calls SyncAuthority, controllers/policyserver calls SyncServer, so that each status has
// one writer.
//
// What never does: private keys of the authority, which stay in cert-manager's Secret, and
// what objects look like (controllers/render does).
//
// Where the data goes next: controllers/policy puts CABundle into webhooks, the kubelet
// mounts the pair, and policyserver/server reloads it.
package certs
