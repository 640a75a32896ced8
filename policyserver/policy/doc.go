// Package policy is the engine: the bytes of a WebAssembly policy in, verdicts out. It is
// a library; the policy server, the command line tool and tests are doors to it, so that
// a verdict cannot depend on who asks.
//
// What belongs here: compiling a module, choosing the protocol that its metadata names,
// and running it under a deadline and a memory limit. The rooms below are, in the order a
// request passes them:
//
//	protocol   what a policy is asked and what it answers, as JSON
//	wapc       how a waPC guest is called
//	rego       how a guest that OPA has compiled is called, and its builtins
//	sandbox    one instance of a guest: fuel, deadline, memory, log output
//	wasi       the stateless WASI that every guest sees
//	host       what a guest may ask of the host: grants and dispatch
//	snapshot   memory that can be put back to what it was
//	wasm       the parser and rewriter of WebAssembly binaries
//	metadata   the custom section that describes a policy
//
// What never does: Kubernetes. Nothing here imports k8s.io; a capability that needs a
// cluster is handed in as a host.Capability.
//
// Where the data goes next: policyserver/evaluation turns a protocol.ValidationResponse
// or an *Error into a verdict, by the policy's mode and mutation rule.
package policy
