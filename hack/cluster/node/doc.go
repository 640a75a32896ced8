// Package node runs the processes of a single Kubernetes node and takes them away again.
//
// What belongs here: the layout of the node's folders and addresses, its certificates and
// configuration files, the processes, and the teardown that leaves nothing behind, also
// after a crash. Nothing is trusted to have been written down in time, so what is the
// node's is known by marks that a thing carries from its first moment:
//
//	processes   an environment variable, which their children inherit
//	containers  their IDs, each of which has a folder below ours, and a control group
//	mounts      their place below our folders
//	links       an address of the Pod network
//	chains      the prefix KUBE-, because the node refuses to start where one is
//	the rest    a record of what the machine was like, written before the first process
//
// What never does: compiling programs (build), making images (images), or installing
// anything into the running cluster (addons).
//
// Where the data goes next: addons talks to the cluster through the kubeconfig made here.
package node
