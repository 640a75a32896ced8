// Package guests are the guests that figures are known by: their sources, how they are
// built, and what they are asked with.
//
// Guests in Go are policies of policies/ or stand here, as those in Rego, C and
// AssemblyScript do, a folder each. They are built when they are needed, by Go, by OPA as a
// library, by clang with lld, and by AssemblyScript's compiler from npm; the error says what
// to install where one is missing.
//
// What belongs here: guests, and requests of which it is known whether they are accepted.
//
// What never does: an engine, a server, or a figure. Who measures is next door
// (test/bench/engine, a module of its own, and test/load).
package guests
