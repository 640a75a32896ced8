// Package scan carries out one audit scan: it reads policies and what the cluster serves,
// has audit/plan decide, lists objects page by page, asks the policy servers what they
// would say if each object were created now, and hands the answers to audit/report.
//
//	scanner.go    Run: read, plan, go through all places, summary
//	policies.go   each kind of policy -> plan.Policy
//	discovery.go  what the cluster serves -> plan.Resource
//	servers.go    PolicyServer -> URL of its Service
//	namespaces.go the namespaces, and what becomes of those that are ignored
//	rounds.go     the cluster and the namespaces one after the other, and at the same time
//	pass.go       the objects of one namespace, or of the cluster: list, ask, write, prune
//	list.go       listing, page by page
//	item.go       an object as it was listed, and what is read of it
//	asked.go      which questions are put about an object, and why others are not
//	authorizer.go rights that match conditions ask for
//	kept.go       which earlier results still hold, and are taken over without asking
//	review.go     an object -> the AdmissionReview of an operation on it
//	ask.go        one question to a policy server: deadline, retries
//	sheet.go      which questions share a request
//	together.go   one request to a policy server about several policies
//	lane.go       how many questions one policy server gets at once
//	breaker.go    a policy server that does not answer is not waited for again and again
//	replicas.go   connections to the replicas of a policy server in turn
//	transport.go  connections and TLS
//	progress.go   how far a scan is
//	summary.go    what it did, for its log; outcome.go for the status of the Kubewarden
//
// What belongs here: everything of a scan that talks to the network, except writing reports.
//
// What never does: flags, environment, exit codes (cmd), what a report looks like
// (audit/report), which objects match a policy (matching).
//
// Where the data goes next: results go to audit/report, the Summary to the caller.
package scan
