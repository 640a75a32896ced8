// Package replicas reads what the replicas of one policy server say of themselves: which
// of their Pods are ready, and which revision of which policy each of them enforces.
//
// What belongs here: the join of Pods and of the report ConfigMap into a Set, and
// questions about one policy that a Set answers; which policies a change of the reports
// concerns. All of it is pure.
//
// What never does: reading from the API server, conditions, decisions about webhooks.
//
// Where the data goes next: controllers/policy decides from it when a webhook is written
// and what a policy's status says; controllers/policyserver counts ready replicas and
// prunes reports of Pods that are gone.
package replicas
