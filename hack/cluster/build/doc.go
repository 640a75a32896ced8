// Package build compiles the binaries of the local cluster from published Go modules and
// keeps them in a cache outside the tree.
//
// What belongs here: which binaries there are, how each is compiled, and the cache whose
// key is everything that determines a binary. Each folder below is a Go module of its own
// that pins one family of versions: kubernetes and etcd as they are, CoreDNS and
// cert-manager as programs of our own around their packages, OLM and its opm as they are,
// pause all ours.
//
// What never does: running what was built.
//
// Where the data goes next: node starts the binaries, images packs some of them.
package build
