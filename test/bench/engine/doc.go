// Command engine measures the engine beside wasmtime 25, the engine of upstream's policy
// server, on the same modules in one run, and writes build/bench.json.
//
//	make bench
//
// wasmtime does what upstream does: a compiled module, and for each request a fresh instance
// with a deadline by epochs. Our engine is asked as a policy server asks it. Both are asked
// in turns of a few milliseconds, on one processor, and compared by their rounds that nothing
// disturbed; what counts is the processor's time. Before anything is measured, both have to give the same verdict.
//
// What belongs here: a host for the guests on wasmtime with as much as they need, and the
// figures to hold. It is a Go module of its own, since
// wasmtime needs cgo and the product has none.
//
// What never does: anything that the product or its tests import.
//
// The guests are those of test/bench/guests.
package main
