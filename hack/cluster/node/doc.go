// Package node runs the processes of a single Kubernetes node and takes them away again.
//
// What belongs here: the layout of the node's folders and addresses, its certificates and
// configuration files, the processes with their pid files, and the teardown that leaves
// nothing behind, also after a crash.
//
// What never does: compiling programs (build), making images (images), or installing
// anything into the running cluster (addons).
//
// Where the data goes next: addons talks to the cluster through the kubeconfig made here.
package node
