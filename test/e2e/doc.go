// Package e2e holds the end-to-end tests: the operator in its container on a real cluster,
// with a real kubelet, cert-manager, a registry, and policies in WebAssembly. `make e2e`
// brings all of that up first.
//
// What belongs here: what a user sees, asserted through the API server and kubectl. Every
// step of the demo is asserted here.
//
// What never does: looking into a room of the product. A test cleans up what it made; the
// Kubewarden object is made when there is none, and is then deleted at the end, which is
// the test of uninstalling.
package e2e
