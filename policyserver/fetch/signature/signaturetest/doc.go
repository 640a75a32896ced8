// Package signaturetest signs artefacts as cosign does, for tests of those that verify them.
//
// What belongs here: keys and signatures that are made up. What never does: anything that
// verifies, and anything that a server imports. The images go into a registry of the test.
package signaturetest
