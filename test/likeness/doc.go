// Package likeness is the life of one policy server as a cluster shows it: its Pods come, are
// replaced, go and come again, and at last everything goes that was made for it. A cluster
// with nodes and the imitation of one have to show the same, fact by fact; else what tests say
// that run on the imitation says nothing.
//
// What belongs here: the steps of the life, and what is seen of it through the API server.
//
// What never does: what the operator or a policy decides; those have tests of their own.
//
// Where the data goes next: to test/integration/simulator and test/e2e, which each compare it
// with Life.
package likeness
