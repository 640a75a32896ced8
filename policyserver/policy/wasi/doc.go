// Package wasi is the WASI preview 1 that every guest sees (module
// "wasi_snapshot_preview1"), and it runs guests that are commands (execution mode "wasi").
// It is stateless: nothing that a guest does here is seen by a later call of the same
// instance.
//
// What belongs here: the 46 functions of the interface, as far as a policy has any
// business with them. There are the file descriptors 0, 1 and 2 and no others, no
// environment, no directories and no sockets; only commands have arguments. Closing or renumbering a
// descriptor succeeds and does nothing. Clocks and randomness are real. A guest that
// waits, waits no longer than its deadline.
//
// wazero's own WASI is not used: its table of descriptors lives in the host and would
// carry state from one request to the next, and its proc_exit closes the module, which
// would end guests that exit with code 0 from their start function, as TinyGo's do.
//
// A command is run once in an instance of its own: it reads a question from its standard
// input and writes the answer to its standard output. What it asks of the host meanwhile
// (module "host") comes back at the end of its standard input. The protocol is upstream's.
//
// What never does: a file, an environment variable, or anything else of this process.
package wasi
