// Package apply writes rendered objects into the cluster, and is the only place that
// does: by server-side apply, under one field owner, with the owner reference of the
// custom resource they belong to.
//
// What belongs here: the rule of what may be written over (only what is absent, ours, or
// made by upstream's controller and charts), the rule of when not to write (nothing changed
// on either side), and pruning.
//
// What never does: deciding what an object looks like (controllers/render does), and
// status, which each reconciler patches itself.
//
// Where the data goes next: to the API server; watches bring it back to the reconcilers.
package apply
