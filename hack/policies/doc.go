// Command policies builds the policies of this project and, if asked to, pushes them to a
// registry as the OCI artifacts that upstream's tools make.
//
//	go run ./hack/policies [--out DIR] [--push REGISTRY [--ca FILE]]
//
// It prints, for each policy, its name and the digest of its module, and after a push the
// reference and the digest of the artifact.
package main
