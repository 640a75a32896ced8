// Package addons installs what a cluster needs beyond Kubernetes itself: a cluster DNS,
// cert-manager's controllers and, where it is asked for, the Operator Lifecycle Manager.
//
// What belongs here: their manifests, and waiting until they work. What never does:
// anything of the operator; that is installed as a user would, by kustomize or OLM.
package addons
