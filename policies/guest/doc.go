// Package guest is what a policy written in Go is linked with: it turns the policy server's
// questions into calls of two plain Go functions.
//
// What belongs here: the request and response documents as far as our policies need them,
// and what several of them look for in an object. It compiles for any platform, so that a
// policy is tested as the plain Go it is. How a question arrives is a package each: wapc
// and command. How JSON is read is document, of which everything here has its values.
//
// What never does: types of Kubernetes. A policy declares the few fields that it reads;
// k8s.io/api would make its module ten times as large and as slow to start.
package guest
