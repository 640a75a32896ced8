// Package guest is what a policy written in Go is linked with: it answers the policy
// server's waPC calls and turns them into calls of two plain Go functions.
//
// What belongs here: the request and response documents as far as our policies need them,
// and the glue, which exists only for GOOS=wasip1. Everything else compiles for any
// platform, so that a policy is tested as the plain Go it is.
//
// What never does: types of Kubernetes. A policy declares the few fields that it reads;
// k8s.io/api would make its module ten times as large and as slow to start.
//
// A policy is a main package built with -buildmode=c-shared. Its main function never
// runs; a package variable registers it:
//
//	var _ = guest.Register(guest.Policy{Validate: validate, ValidateSettings: validateSettings})
//
//	func main() {}
package guest
