// Package optional watches kinds that a cluster may lack: those of cert-manager, of a
// monitoring stack, of policy reports. A watch starts when the kind's
// CustomResourceDefinition is established, without a restart of the operator.
//
// What belongs here: the event source that begins late, and the question whether a kind
// is served now.
//
// What never does: what is done with such a kind, and any name of one.
//
// Where the data goes next: to the queue of the reconciler that registered the source.
package optional
