// Package policy reconciles policies of every kind into webhook configurations: when one
// is written, what it was rendered from, when it is withdrawn, and what a policy's status
// says about all that.
//
// What belongs here: the one Reconciler, made once per kind of index.PolicyKinds; the
// decision about the webhook (decide.go) and the conditions (status.go), both pure.
//
// What never does: what a webhook configuration looks like (controllers/render), what
// policy servers run (controllers/policyserver), and anything that only one kind has.
//
//	policy -> observe: Kubewarden, PolicyServer, Pods and reports, standing webhook
//	       -> decide:  withdraw | leave | wait | keep | write
//	       -> act:     finalizer, then webhook; or webhook gone, then finalizer
//	       -> status:  conditions, counts, Events on transitions
//
// Where the data goes next: webhook configurations to the API server, which then calls
// the policy server; status to the user.
package policy
