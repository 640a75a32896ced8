// Package policies is the home of the policies that this project ships: small, tested
// ones to begin with, and guests for tests and benchmarks.
//
// What belongs here: a folder per policy, with its logic in plain Go or in Rego
// (policy.rego), its tests, and metadata.yml; guest, the glue that every policy in Go is linked with; build, which
// makes modules out of the folders; and policiestest, which hands built modules to tests.
//
// What never does: a module (*.wasm). Whoever needs one builds it.
//
// Where the data goes next: `make policies` writes modules to bin/policies and pushes them
// to a registry (hack/policies); a policy server runs them.
package policies
