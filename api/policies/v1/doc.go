// Package v1 holds the kinds of the group policies.kubewarden.io, version v1:
// PolicyServer and the policies that run on it.
//
// What belongs here: the types, their schema as markers (defaults, enums, bounds and
// rules in CEL), the narrow interface Policy, condition types and reasons, and the
// annotations and finalizers that users and tools rely on. Field names, defaults and
// enums are those of upstream's CRDs; a field that upstream does not have says so.
//
// What never does: rules that need to read the cluster, conversion to what a policy
// server reads, anything that imports more than k8s.io/api and k8s.io/apimachinery.
//
// Where the data goes next: controllers/render turns these types into children and
// into the contract types of a policy server; controllers/policyserver and
// controllers/policy write the status.
//
// +kubebuilder:object:generate=true
// +groupName=policies.kubewarden.io
package v1
