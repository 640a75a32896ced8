// Command cluster brings up a real single-node Kubernetes cluster on a bare machine, for
// the demo and the end-to-end tests, and takes it down again without a trace.
//
// What belongs here: the commands and the three kinds of cluster (local, kind, existing).
// The work is done in the packages below:
//
//	build     compiles the programs from published Go modules, once, into a cache
//	node      runs them as processes of this machine, and takes them away again
//	images    packs programs into images, builds the project's Dockerfile, loads images
//	registry  serves policies and images over TLS
//	addons    installs the cluster DNS, cert-manager and, on demand, OLM
//	lock      lets one run at a time do a thing
//	progress  says what happens and for how long
//
// stop and start are a loss of power and its end: every process and container goes but the
// registry, which stands for one that is elsewhere, and what is on disk stays.
//
// What stays on the machine after down: the Debian packages that were installed, the cache
// in the user's cache folder, and the empty built-in tables of the firewall.
//
// What never belongs here: anything of the operator.
package main
