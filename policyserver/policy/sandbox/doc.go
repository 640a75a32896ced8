// Package sandbox runs rewritten modules on wazero: it compiles them, makes instances, and
// keeps each call within its deadline, its memory and its ways out to the host.
//
// What belongs here: everything about running a guest that does not depend on the protocol
// it speaks. The state of a call, all of it, is one Call, carried by the context and
// replaced for the next call; an instance keeps nothing but its linear memory and globals.
//
// A guest is interrupted by its fuel: rewritten code calls the host whenever a quantum of
// work is done, and the host looks at the deadline. wazero's own way, closing a module
// when a context is done, is never used: it leaves compiled code at every loop iteration,
// which costs five to ten times the guest's time, and it does not see recursion at all.
//
// An instance of a Template can be put back to what it was when it was initialised. A
// command can be parked where it reads its standard input, and go on from there for every
// call.
//
// What never does: what an operation or an answer means.
//
// Where the data goes next: policyserver/policy/wapc calls functions of an Instance and
// serves the imports of waPC guests; policyserver/policy/wasi serves those of WASI.
package sandbox
