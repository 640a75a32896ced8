// Package server is a policy server's face: HTTP in, AdmissionReviews in and out,
// readiness, TLS, and the end of the process.
//
// What belongs here: routes and status codes (handlers.go), the decoding and encoding of
// reviews (review.go, scan.go), several policies that are asked about one object (audits.go),
// who waits and who is sent away (queue.go), for how long the sender waits (patience.go), the
// life of connections (aging.go), certificates that change (certificates.go, watch.go), who is
// the operator and what it alone may ask (operator.go, settings.go), profiles of the process
// (profiles.go), and starting and stopping (server.go).
//
// What never does: judging a request (policyserver/evaluation). No object is ever decoded
// here: a policy gets the bytes that came in.
//
// Where the data goes next: a decoded request goes to an Evaluator, which
// *evaluation.Environment is.
package server
