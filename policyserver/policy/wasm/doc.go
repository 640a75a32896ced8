// Package wasm reads and rewrites WebAssembly binaries. It is the one place that knows
// the binary format (WebAssembly 2.0 plus tail calls, typed function references and
// extended constant expressions).
//
// What belongs here: splitting a module into sections, its custom sections, and the
// rewrite that every module goes through before it is compiled:
//
//   - fuel, so that a guest can be interrupted at any point of its run,
//   - mutable globals exported, so that an instance can be put back to its first state,
//   - an imported memory made local, so that one set of host functions serves every guest,
//   - in commands, a word to the host before they read and when they end,
//   - tables bounded, so that a guest cannot take the host's memory by growing one.
//
// Input is hostile. The reader checks every bound and answers with a *FormatError; every
// count is checked against the bytes that are left before it is believed, because the
// compiler behind allocates by counts. Everything is written out again in its shortest
// form: two readers can then not disagree about where an instruction begins, and no loop
// escapes the rewriter by being spelled oddly. What the rewriter does not know it refuses.
//
// What never does: running a module, or knowing what a policy is.
//
// Where the data goes next: policyserver/policy/sandbox compiles what Rewrite returns.
package wasm
