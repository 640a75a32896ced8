package v1alpha2

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// PolicyServer is the PolicyServer of v1.
//
// +kubebuilder:object:root=true
// +kubebuilder:deprecatedversion:warning="This version is deprecated. Please, consider using v1"
// +kubebuilder:resource:scope=Cluster,shortName=ps
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Replicas",type=string,JSONPath=`.spec.replicas`
// +kubebuilder:printcolumn:name="Image",type=string,JSONPath=`.status.image`
// +kubebuilder:validation:XValidation:rule="oldSelf.hasValue() || size(self.metadata.name) <= 49",optionalOldSelf=true,message="metadata.name: the PolicyServer name cannot be longer than 49 characters, since policy-server-<name> names a Service"
// +kubebuilder:validation:XValidation:rule="oldSelf.hasValue() || !self.metadata.name.contains('.')",optionalOldSelf=true,message="metadata.name: the PolicyServer name cannot contain a dot, since policy-server-<name> names a Service"
// +kubebuilder:validation:XValidation:rule="oldSelf.hasValue() || !(self.metadata.name.endsWith('-replicas') || self.metadata.name.endsWith('-issued'))",optionalOldSelf=true,message="metadata.name: the PolicyServer name cannot end in -replicas or -issued, since objects of another PolicyServer have such names; choose another ending"
type PolicyServer struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// Spec is that of v1.
	// +optional
	// +kubebuilder:default={}
	Spec policiesv1.PolicyServerSpec `json:"spec,omitzero"`
	// Status is that of v1.
	// +optional
	Status policiesv1.PolicyServerStatus `json:"status,omitzero"`
}

// PolicyServerList is a list of PolicyServers.
//
// +kubebuilder:object:root=true
type PolicyServerList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []PolicyServer `json:"items"`
}
