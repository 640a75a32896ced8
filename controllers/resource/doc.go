// Package resource writes to the custom resource that a reconciler was called for: its
// finalizers and its status, which nobody but its own reconciler writes.
//
// What belongs here: the two writes that every reconciler makes in the same way.
//
// What never does: writes to anything else (controllers/apply makes them), and what a
// status says.
//
// Where the data goes next: to the API server.
package resource
