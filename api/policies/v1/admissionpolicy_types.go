package v1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AdmissionPolicySpec is what an AdmissionPolicy wants.
//
// +kubebuilder:validation:XValidation:rule="self.rules.all(rule, !('*' in rule.apiGroups))",reason=FieldValueForbidden,fieldPath=.rules,message="apiGroups cannot use wildcards when using AdmissionPolicy or AdmissionPolicyGroup: name the groups"
// +kubebuilder:validation:XValidation:rule="self.rules.all(rule, !('wgpolicyk8s.io' in rule.apiGroups) || rule.resources.all(resource, !(resource.startsWith('*') || resource == 'policyreports' || resource.startsWith('policyreports/'))))",reason=FieldValueForbidden,fieldPath=.rules,message="{APIGroup: wgpolicyk8s.io, Resource: policyreports} resources cannot be targeted by AdmissionPolicy or AdmissionPolicyGroup"
// +kubebuilder:validation:XValidation:rule="self.rules.all(rule, !('openreports.io' in rule.apiGroups) || rule.resources.all(resource, !(resource.startsWith('*') || resource == 'reports' || resource.startsWith('reports/'))))",reason=FieldValueForbidden,fieldPath=.rules,message="{APIGroup: openreports.io, Resource: reports} resources cannot be targeted by AdmissionPolicy or AdmissionPolicyGroup"
type AdmissionPolicySpec struct {
	PolicySpec `json:",inline"`
}

// AdmissionPolicy is a policy that judges requests in its own namespace. Rules match namespaced
// resources only, whatever their scope says.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Namespaced,shortName=ap
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
// +kubebuilder:validation:XValidation:rule="oldSelf.hasValue() || size(self.metadata.name) <= 224",optionalOldSelf=true,message="metadata.name: the policy name combined with its namespace and kind produces an identity that is too long (max 253); the name must be at most 224 characters long, less in a namespace with a longer name"
type AdmissionPolicy struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// Spec is what the policy is to do.
	Spec AdmissionPolicySpec `json:"spec"`
	// Status is what became of it.
	// +optional
	Status PolicyStatus `json:"status,omitzero"`
}

// AdmissionPolicyList is a list of AdmissionPolicies.
//
// +kubebuilder:object:root=true
type AdmissionPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []AdmissionPolicy `json:"items"`
}

var _ Policy = (*AdmissionPolicy)(nil)

// GetPolicyServer implements Policy.
func (p *AdmissionPolicy) GetPolicyServer() string { return p.Spec.getPolicyServer() }

// GetMode implements Policy.
func (p *AdmissionPolicy) GetMode() PolicyMode { return p.Spec.getMode() }

// IsMutating implements Policy.
func (p *AdmissionPolicy) IsMutating() bool { return p.Spec.Mutating }

// GetAdmissionSpec implements Policy.
func (p *AdmissionPolicy) GetAdmissionSpec() *AdmissionSpec { return &p.Spec.AdmissionSpec }

// GetNamespaceSelector implements Policy: it selects the policy's own namespace.
func (p *AdmissionPolicy) GetNamespaceSelector() *metav1.LabelSelector { return ownNamespace(p) }

// AllowsInsideAdmissionControllerNamespace implements Policy: a policy in the namespace of
// the operator was put there by somebody who may do anything to the operator.
func (p *AdmissionPolicy) AllowsInsideAdmissionControllerNamespace() bool { return true }

// GetStatus implements Policy.
func (p *AdmissionPolicy) GetStatus() *PolicyStatus { return &p.Status }
