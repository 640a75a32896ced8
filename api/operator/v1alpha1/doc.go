// Package v1alpha1 holds the kinds of the group operator.kubewarden.io, version
// v1alpha1: Kubewarden, the installation itself.
//
// What belongs here: the type, its schema as markers, its condition reasons.
//
// What never does: the kinds that users write policies with (api/policies/v1), and
// anything that imports more than k8s.io/api and k8s.io/apimachinery.
//
// Where the data goes next: controllers/stack reconciles a Kubewarden into the default
// PolicyServer and the settings of the other controllers, and writes its status.
//
// +kubebuilder:object:generate=true
// +groupName=operator.kubewarden.io
package v1alpha1
