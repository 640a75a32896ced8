// Package v1alpha2 is the deprecated version of PolicyServer, ClusterAdmissionPolicy and
// AdmissionPolicy. It is served for manifests that were written long ago, and never stored.
//
// What belongs here: the kinds. Their specs and statuses are those of v1, whole: every rule
// of v1 holds here too, so that this version is no way around them, and an object that is
// written through it loses no field that only v1 once had.
//
// What never does: a field or a rule of its own.
//
// Where the data goes next: the API server stores the objects as v1; no other package
// reads this one.
//
// +kubebuilder:object:generate=true
// +groupName=policies.kubewarden.io
package v1alpha2
