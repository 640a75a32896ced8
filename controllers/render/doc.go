// Package render turns custom resources into the objects that the operator wants in the
// cluster: the children of a PolicyServer, the webhook configuration of a policy, the
// entry of a policy in policies.yml, the certificate authority, and of an
// installation its default PolicyServer, audit scanner and recommended policies.
//
// What belongs here: pure functions. Values go in, objects come out; equal input gives
// equal output, byte for byte, and the input is never written to. What each function
// makes is held by a golden file in testdata (rewrite with go test -update).
//
// What never does: a client, a clock, the environment, a logger, randomness, and owner
// references, which belong to the one who writes.
//
// Where the data goes next: controllers/apply writes the objects.
package render
