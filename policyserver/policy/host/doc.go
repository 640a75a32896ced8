// Package host is what a guest may ask of the host. Every host call of every execution
// mode passes one Dispatcher, and its gate denies what the policy was not granted.
//
// What belongs here: the grammar of capability patterns, the gate, and the dispatch of a
// call to the Capability of its namespace. Names and texts are upstream's (crate
// policy-evaluator, modules callback_handler and host_capabilities).
//
// What never does: a capability that needs a cluster or a network. Those are handed in;
// only tracing/log, which needs neither and is always allowed, lives here.
package host
