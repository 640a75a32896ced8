// Package resource reads and writes custom resources in the way that every reconciler
// does: it finds one that may be absent, and writes the finalizers and the status of the
// one that the reconciler was called for, which nobody else writes.
//
// What belongs here: what all reconcilers do alike.
//
// What never does: writes to anything else (controllers/apply makes them), and what a
// status says.
//
// Where the data goes next: to the API server.
package resource
