// Package wasmtest builds small WebAssembly modules for tests: guests that behave badly
// in ways no compiler would produce, and well-behaved ones of a few hundred bytes for
// tests that are not about the guest.
//
// What belongs here: the builder and guests that more than one package's tests need.
//
// What never does: anything that product code imports.
package wasmtest
