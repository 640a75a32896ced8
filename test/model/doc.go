// Package model tests the operator by chance: random histories of what users, nodes and
// accidents do to an installation, on a real API server with simulated replicas. A history
// is a list of operations, made from a seed. Now and then it pauses, and after each pause
// what must always hold is checked: webhooks, statuses, owners, finalizers, and that nothing
// is written any more. A witness watches in between that no webhook comes too early and none
// goes without a reason. A history that breaks something is shortened, by running parts of
// it on fresh clusters, and printed with its seed.
//
// What belongs here: operations, and invariants that are stated without the operator's own
// code: by the specs, and by what the replicas say.
//
// What never does: tests of one known situation; those stand beside the code, or in
// test/integration/operator.
//
// The tests have the build tag integration. `make model` runs five seeds, `make model
// SEEDS=n` n of them, `make model SEED=k` the k-th alone; STEPS sets how long a history is.
// MODEL_HISTORY runs a history that was printed.
package model
