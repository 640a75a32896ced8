// Command cluster brings up a real single-node Kubernetes cluster on a bare machine, for
// the demo and the end-to-end tests, and takes it down again without a trace.
//
// What belongs here: the commands and the three kinds of cluster (local, kind, existing).
// The work is done in build, node, images, addons and registry.
//
// What never does: anything of the operator.
package main
