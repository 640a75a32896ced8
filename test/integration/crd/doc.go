// Package crd holds tests of the CRDs against a real API server: defaults, enums, every
// rule in CEL, what is pruned and what is kept, and the columns of kubectl get.
//
// What belongs here: what the schema alone does, with nothing else running.
//
// What never does: anything that needs a controller or a webhook; that is tested in the
// folders beside this one.
//
// The tests have the build tag integration and need the folder with kube-apiserver and
// etcd in KUBEBUILDER_ASSETS; `make test-integration` sees to both.
package crd
