// Package child has what a process needs that is measured as a child, on 127.0.0.1.
//
// What belongs here: ports and a certificate to serve with, and what memory and how
// much of processors the process takes.
//
// What never does: how it is started and asked: the benchmarks do that, those in Go by
// childtest.
package child
