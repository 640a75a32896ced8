// Package conformance holds what policies, modes, groups and endpoints do, as data: a
// request, a policy's entry, and the answer. The same cases hold for every door to the
// engine.
//
// What belongs here: the cases (cases/*.yaml, one file for each matter; requests/*.json,
// larger requests), how they are read (case.go), what of them becomes an entry of
// policies.yml (entry.go, guests.go, certificates.go, images.go, identities.go; hostile.go makes guests that mean harm,
// of every execution mode) and a request (request.go), and how answers are compared (answer.go).
// conformance_test.go runs them: a case that is about a verdict through
// policyserver/evaluation with the engine, with fresh and with pristine instances, whose
// answers are the same to the byte, and through a whole policy server with TLS; a
// case that is about HTTP through the server alone, because there is no such thing as its
// subject anywhere else. Subtests are named after the door. After each case another policy
// is asked and must answer: no guest may disturb others.
//
// What never does: what is measured, what changes over time (rotation, swapping of sets),
// and what needs a cluster.
//
// A case file:
//
//	about: what the cases have in common
//	cases:
//	- name: a privileged container is refused
//	  policy: {module: pod-privileged, settings: {}, mode: protect}
//	  request: {file: privileged-pod.json}
//	  want: {allowed: false, message: Privileged container is not allowed}
//
// What want does not name must not be in the answer. A key that nobody knows is an error,
// and so is a case that wants nothing.
package conformance
