// Package certs keeps the certificates of an installation: the authority that signs, what
// API servers are told to trust, and the pair that each policy server presents.
//
//	provider cert-manager                      provider built-in
//	Issuer kubewarden-selfsigned               Secret kubewarden-ca-built-in
//	Certificate kubewarden-ca-cm                   |                     |
//	Issuer kubewarden-ca                           |                     | signs
//	    |                |                         |                     |
//	    | published      +-------------------------|-----> Secret policy-server-<name>-issued
//	    |                                          |                     |
//	    +--> Secret kubewarden-ca (no key)  <------+                     |  only once trusted
//	                     |                                               |
//	         caBundle of every webhook                     Secret policy-server-<name> (mounted)
//
// The operator and the audit scanner are clients of policy servers (client.go). Their pairs are
// signed the same way, and copied to where they are used once every replica trusts them.
//
// Another authority takes over in steps (authority.go), each of which is in an object once it is
// taken: the next one is made in a Secret of its own, published beside the one that signs, and
// put in its place once every webhook trusts it (succession.go for the built-in provider,
// certmanagerca.go for cert-manager); pairs are signed anew
// and presented; the one before is published no more once nobody presents what it signed
// (chains.go). Why another one is needed: due.go.
//
// An issuer that a user named (issuer.go) takes the place of both authorities above: what it signs
// goes the same way, and whom to trust is read off what it has issued. When it is asked again:
// foreign.go. What was not renewed in time: expiry.go.
//
// Which provider signs is chosen once (choice.go). A provider (provider.go) only issues, into
// Secrets of its own; to publish and to present is one path for both.
//
// What belongs here: the plans, which are pure functions of what was observed and of the
// time (choice.go, authority.go, due.go, plan.go, leaf.go, foreign.go), what a pair proves (claim.go), the code that observes and takes the step that was
// planned, the signing (signing.go), and what wakes it. It runs inside the reconcilers whose
// objects it is about: controllers/stack calls SyncAuthority, controllers/policyserver calls
// SyncServer, so that each status has one writer.
//
// What never does: private keys of an authority outside of its own Secret, and what objects
// look like (controllers/render does).
//
// Where the data goes next: controllers/policy puts CABundle into webhooks, the kubelet
// mounts the pair, and policyserver/server reloads it.
package certs
