package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ClusterAdmissionPolicySpec is what a ClusterAdmissionPolicy wants.
type ClusterAdmissionPolicySpec struct {
	PolicySpec `json:",inline"`

	// NamespaceSelector limits the policy to requests in namespaces whose labels match.
	// Requests for cluster-wide resources are judged whatever it says, except those for
	// namespaces, whose own labels count.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// ContextAwareResources are the kinds that the policy may read from the cluster. The
	// ServiceAccount of the policy server must be allowed to list them.
	// +optional
	// +listType=atomic
	ContextAwareResources []ContextAwareResource `json:"contextAwareResources,omitempty"`

	// AllowInsideAdmissionControllerNamespace makes the policy judge requests in the
	// namespace of the operator too. A policy that refuses what the operator and its
	// policy servers need can then stop them.
	// +optional
	// +kubebuilder:default=false
	AllowInsideAdmissionControllerNamespace bool `json:"allowInsideAdmissionControllerNamespace,omitempty"`
}

// ClusterAdmissionPolicy is a policy that judges requests in the whole cluster.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=cap
// +kubebuilder:subresource:status
// +kubebuilder:storageversion
// +kubebuilder:printcolumn:name="Policy Server",type=string,JSONPath=`.spec.policyServer`
// +kubebuilder:printcolumn:name="Mutating",type=boolean,JSONPath=`.spec.mutating`
// +kubebuilder:printcolumn:name="BackgroundAudit",type=boolean,JSONPath=`.spec.backgroundAudit`
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`
// +kubebuilder:printcolumn:name="Observed mode",type=string,JSONPath=`.status.mode`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.policyStatus`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Severity",type=string,JSONPath=`.metadata.annotations['io\.kubewarden\.policy\.severity']`,priority=1
// +kubebuilder:printcolumn:name="Category",type=string,JSONPath=`.metadata.annotations['io\.kubewarden\.policy\.category']`,priority=1
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:validation:XValidation:rule="oldSelf.hasValue() || size(self.metadata.name) <= 225",optionalOldSelf=true,message="metadata.name: the policy name combined with its namespace and kind produces an identity that is too long (max 253); the name must be at most 225 characters long"
type ClusterAdmissionPolicy struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// Spec is what the policy is to do.
	Spec ClusterAdmissionPolicySpec `json:"spec"`
	// Status is what became of it.
	// +optional
	Status PolicyStatus `json:"status,omitzero"`
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

var _ Policy = (*ClusterAdmissionPolicy)(nil)

// GetPolicyServer implements Policy.
func (p *ClusterAdmissionPolicy) GetPolicyServer() string { return p.Spec.getPolicyServer() }

// GetMode implements Policy.
func (p *ClusterAdmissionPolicy) GetMode() PolicyMode { return p.Spec.getMode() }

// IsMutating implements Policy.
func (p *ClusterAdmissionPolicy) IsMutating() bool { return p.Spec.Mutating }

// GetAdmissionSpec implements Policy.
func (p *ClusterAdmissionPolicy) GetAdmissionSpec() *AdmissionSpec { return &p.Spec.AdmissionSpec }

// GetNamespaceSelector implements Policy.
func (p *ClusterAdmissionPolicy) GetNamespaceSelector() *metav1.LabelSelector {
	return p.Spec.NamespaceSelector
}

// AllowsInsideAdmissionControllerNamespace implements Policy.
func (p *ClusterAdmissionPolicy) AllowsInsideAdmissionControllerNamespace() bool {
	return p.Spec.AllowInsideAdmissionControllerNamespace
}

// GetStatus implements Policy.
func (p *ClusterAdmissionPolicy) GetStatus() *PolicyStatus { return &p.Status }
