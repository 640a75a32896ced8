// Command raw-validation is the policy of that name: it judges requests that are not about
// Kubernetes, each of a user who wants to do something with a resource.
package main
