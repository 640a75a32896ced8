// Package servertest gives tests what a policy server serves TLS with.
//
// What belongs here: a certificate, and who trusts it, for tests that start a whole policy
// server and call it.
//
// What never does: chains, rotation and what can be wrong with a certificate; those are the
// matter of the tests of policyserver/server itself.
//
// Where the data goes next: to server.Config of the server under test, and to its client.
package servertest
