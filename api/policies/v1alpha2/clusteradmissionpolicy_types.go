package v1alpha2

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// ClusterAdmissionPolicy is the ClusterAdmissionPolicy of v1.
//
// +kubebuilder:object:root=true
// +kubebuilder:deprecatedversion:warning="This version is deprecated. Please, consider using v1"
// +kubebuilder:resource:scope=Cluster,shortName=cap
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Policy Server",type=string,JSONPath=`.spec.policyServer`
// +kubebuilder:printcolumn:name="Mutating",type=boolean,JSONPath=`.spec.mutating`
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`
// +kubebuilder:printcolumn:name="Observed mode",type=string,JSONPath=`.status.mode`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.policyStatus`
// +kubebuilder:validation:XValidation:rule="oldSelf.hasValue() || size(self.metadata.name) <= 225",optionalOldSelf=true,message="metadata.name: the policy name combined with its namespace and kind produces an identity that is too long (max 253); the name must be at most 225 characters long"
type ClusterAdmissionPolicy struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// Spec is that of v1.
	Spec policiesv1.ClusterAdmissionPolicySpec `json:"spec"`
	// Status is that of v1.
	// +optional
	Status policiesv1.PolicyStatus `json:"status,omitzero"`
}

// ClusterAdmissionPolicyList is a list of ClusterAdmissionPolicies.
//
// +kubebuilder:object:root=true
type ClusterAdmissionPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []ClusterAdmissionPolicy `json:"items"`
}
