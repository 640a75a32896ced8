// Package childtest runs the program that a benchmark in Go measures, as a process of its own
// that ends with the test.
//
// What belongs here: building, starting and ending it, and asking it.
//
// What never does: what it is started with and asked about, which each benchmark has itself.
package childtest
