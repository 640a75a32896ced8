// Package operator holds tests of the operator against a real API server: ownership,
// server-side apply, drift, finalizers, conditions, Events. The operator runs with the
// rights of its own ServiceAccount, so that a rule it lacks fails a test.
//
// There is no kubelet, no controller manager and no cert-manager: Pods exist and are ready
// because a test says so, replicas report because a test lets them, with the rights of
// their own ServiceAccount, certificates are signed by a goroutine, and nothing is garbage
// collected.
//
// What belongs here: what is true of the operator whatever runs in its Pods.
//
// What never does: evaluation of policies, and what only a real cluster can show; that is
// tested in test/e2e.
//
// The tests have the build tag integration and need the folder with kube-apiserver and
// etcd in KUBEBUILDER_ASSETS; `make test-integration` sees to both. TEST_LOG=1 shows what
// the operator logs.
package operator
