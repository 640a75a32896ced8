// Package registry serves the cluster's OCI registry.
//
// What belongs here: the TLS server around the registry handler. What never does: pushing
// to it; that is what policies and images do, as to any registry.
package registry
