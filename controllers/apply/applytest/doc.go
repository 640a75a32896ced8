// Package applytest gives tests a real API server that knows all kinds that the operator
// writes, and clients of it: one that reads from caches, as the operator's does, and one
// that reads and writes directly, as a user's does.
//
// What belongs here: the environment of integration tests of controllers/apply and of the
// packages that write through it.
//
// What never does: product code, and assertions.
//
// Where the data goes next: to the tests.
package applytest
