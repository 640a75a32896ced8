// Package upstream sees what an installation of upstream's charts runs and left in a
// cluster, and keeps reconcilers from acting while upstream's controller does.
//
// What belongs here: how upstream's controller is told from anything else, and the caches
// of what it made.
//
// What never does: writes. What upstream made is taken over by controllers/apply, and
// removed by the reconciler whose object stands in its place.
//
// Where the data goes next: to the reconcilers, of which controllers/stack tells users.
package upstream
