package v1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ClusterAdmissionPolicyGroupSpec is what a ClusterAdmissionPolicyGroup wants.
//
// +kubebuilder:validation:XValidation:rule="self.policies.all(name, !has(self.policies[name].timeoutEvalSeconds) || self.policies[name].timeoutEvalSeconds <= (has(self.timeoutSeconds) ? self.timeoutSeconds : 10))",fieldPath=.policies,message="timeoutEvalSeconds of a member cannot be greater than timeoutSeconds of the group"
// +kubebuilder:validation:XValidation:rule="self.policies.map(name, has(self.policies[name].timeoutEvalSeconds) ? self.policies[name].timeoutEvalSeconds : 0).sum() <= (has(self.timeoutSeconds) ? self.timeoutSeconds : 10)",fieldPath=.policies,message="the sum of timeoutEvalSeconds of all members cannot be greater than timeoutSeconds of the group"
type ClusterAdmissionPolicyGroupSpec struct {
	PolicyGroupSpec `json:",inline"`

	// Policies are the members by name. A name is an identifier of CEL.
	// +kubebuilder:validation:XValidation:rule="size(self) > 0",reason=FieldValueRequired,message="policy groups must have at least one policy member"
	// +kubebuilder:validation:XValidation:rule="self.all(name, name.matches('^[_a-zA-Z][_a-zA-Z0-9]*$') && !(name in ['true', 'false', 'null', 'in', 'as', 'break', 'const', 'continue', 'else', 'for', 'function', 'if', 'import', 'let', 'loop', 'package', 'namespace', 'return', 'var', 'void', 'while']))",message="policy group member name is invalid: it must be made of letters, digits and underscores, not begin with a digit, and not be a word that CEL reserves"
	Policies map[string]ContextAwareGroupMember `json:"policies"`

	// NamespaceSelector limits the group to requests in namespaces whose labels match.
	// Requests for cluster-wide resources are judged whatever it says, except those for
	// namespaces, whose own labels count.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// AllowInsideAdmissionControllerNamespace makes the group judge requests in the
	// namespace of the operator too. A group that refuses what the operator and its policy
	// servers need can then stop them.
	// +optional
	// +kubebuilder:default=false
	AllowInsideAdmissionControllerNamespace bool `json:"allowInsideAdmissionControllerNamespace,omitempty"`
}

// ClusterAdmissionPolicyGroup judges requests in the whole cluster by several policies at once.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=capg
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
// +kubebuilder:validation:XValidation:rule="oldSelf.hasValue() || size(self.metadata.name) <= 224",optionalOldSelf=true,message="metadata.name: the policy name combined with its namespace and kind produces an identity that is too long (max 253); the name must be at most 224 characters long"
type ClusterAdmissionPolicyGroup struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// Spec is what the group is to do.
	Spec ClusterAdmissionPolicyGroupSpec `json:"spec"`
	// Status is what became of it.
	// +optional
	Status PolicyStatus `json:"status,omitzero"`
}

// ClusterAdmissionPolicyGroupList is a list of ClusterAdmissionPolicyGroups.
//
// +kubebuilder:object:root=true
type ClusterAdmissionPolicyGroupList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []ClusterAdmissionPolicyGroup `json:"items"`
}

var _ PolicyGroup = (*ClusterAdmissionPolicyGroup)(nil)

// GetPolicyServer implements Policy.
func (p *ClusterAdmissionPolicyGroup) GetPolicyServer() string { return p.Spec.getPolicyServer() }

// GetMode implements Policy.
func (p *ClusterAdmissionPolicyGroup) GetMode() PolicyMode { return p.Spec.getMode() }

// IsMutating implements Policy. A group changes nothing.
func (p *ClusterAdmissionPolicyGroup) IsMutating() bool { return false }

// GetAdmissionSpec implements Policy.
func (p *ClusterAdmissionPolicyGroup) GetAdmissionSpec() *AdmissionSpec { return &p.Spec.AdmissionSpec }

// GetNamespaceSelector implements Policy.
func (p *ClusterAdmissionPolicyGroup) GetNamespaceSelector() *metav1.LabelSelector {
	return p.Spec.NamespaceSelector
}

// AllowsInsideAdmissionControllerNamespace implements Policy.
func (p *ClusterAdmissionPolicyGroup) AllowsInsideAdmissionControllerNamespace() bool {
	return p.Spec.AllowInsideAdmissionControllerNamespace
}

// GetStatus implements Policy.
func (p *ClusterAdmissionPolicyGroup) GetStatus() *PolicyStatus { return &p.Status }

// GetPolicyGroupSpec implements PolicyGroup.
func (p *ClusterAdmissionPolicyGroup) GetPolicyGroupSpec() *PolicyGroupSpec {
	return &p.Spec.PolicyGroupSpec
}

// GetMembers implements PolicyGroup.
func (p *ClusterAdmissionPolicyGroup) GetMembers() map[string]ContextAwareGroupMember {
	return p.Spec.Policies
}
