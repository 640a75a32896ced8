// Package simulator is a cluster without nodes: a real API server, the operator under the
// rights of its own ServiceAccount, and in the place of everything else that a cluster has
// small imitations of it. Cluster brings up the API server and runs the operator, which can
// be told to stop or cut off in the middle of what it does. Replica is the process of one
// policy server, as far as the operator can tell. Workloads plays the controllers of
// Deployments and ReplicaSets, the kubelet and the garbage collector, so that children come,
// run, are replaced and go as in a real cluster.
//
// test/likeness holds it against a cluster with nodes.
//
// What belongs here: what several rooms of tests need of a cluster.
//
// What never does: assertions, and evaluation of policies: a replica here decides by the
// name of a module and a word in the settings whether it can load them.
//
// Where the data goes next: to test/integration/operator, which moves each replica by hand, and to
// test/model, which lets them move by themselves.
package simulator
