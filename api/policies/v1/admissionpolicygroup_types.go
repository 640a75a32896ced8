package v1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AdmissionPolicyGroupSpec is what an AdmissionPolicyGroup wants.
//
// +kubebuilder:validation:XValidation:rule="self.rules.all(rule, !('*' in rule.apiGroups))",reason=FieldValueForbidden,fieldPath=.rules,message="apiGroups cannot use wildcards when using AdmissionPolicy or AdmissionPolicyGroup: name the groups"
// +kubebuilder:validation:XValidation:rule="self.rules.all(rule, !('wgpolicyk8s.io' in rule.apiGroups) || rule.resources.all(resource, !(resource.startsWith('*') || resource == 'policyreports' || resource.startsWith('policyreports/'))))",reason=FieldValueForbidden,fieldPath=.rules,message="{APIGroup: wgpolicyk8s.io, Resource: policyreports} resources cannot be targeted by AdmissionPolicy or AdmissionPolicyGroup"
// +kubebuilder:validation:XValidation:rule="self.rules.all(rule, !('openreports.io' in rule.apiGroups) || rule.resources.all(resource, !(resource.startsWith('*') || resource == 'reports' || resource.startsWith('reports/'))))",reason=FieldValueForbidden,fieldPath=.rules,message="{APIGroup: openreports.io, Resource: reports} resources cannot be targeted by AdmissionPolicy or AdmissionPolicyGroup"
// +kubebuilder:validation:XValidation:rule="self.policies.all(name, !has(self.policies[name].timeoutEvalSeconds) || self.policies[name].timeoutEvalSeconds <= (has(self.timeoutSeconds) ? self.timeoutSeconds : 10))",fieldPath=.policies,message="timeoutEvalSeconds of a member cannot be greater than timeoutSeconds of the group"
// +kubebuilder:validation:XValidation:rule="self.policies.map(name, has(self.policies[name].timeoutEvalSeconds) ? self.policies[name].timeoutEvalSeconds : 0).sum() <= (has(self.timeoutSeconds) ? self.timeoutSeconds : 10)",fieldPath=.policies,message="the sum of timeoutEvalSeconds of all members cannot be greater than timeoutSeconds of the group"
type AdmissionPolicyGroupSpec struct {
	PolicyGroupSpec `json:",inline"`

	// Policies are the members by name. A name is an identifier of CEL.
	// +kubebuilder:validation:XValidation:rule="size(self) > 0",reason=FieldValueRequired,message="policy groups must have at least one policy member"
	// +kubebuilder:validation:XValidation:rule="self.all(name, name.matches('^[_a-zA-Z][_a-zA-Z0-9]*$') && !(name in ['true', 'false', 'null', 'in', 'as', 'break', 'const', 'continue', 'else', 'for', 'function', 'if', 'import', 'let', 'loop', 'package', 'namespace', 'return', 'var', 'void', 'while']))",message="policy group member name is invalid: it must be made of letters, digits and underscores, not begin with a digit, and not be a word that CEL reserves"
	Policies map[string]GroupMember `json:"policies"`
}

// AdmissionPolicyGroup judges requests in its own namespace by several policies at once. Rules
// match namespaced resources only, whatever their scope says.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Namespaced,shortName=apg
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
// +kubebuilder:validation:XValidation:rule="oldSelf.hasValue() || size(self.metadata.name) <= 223",optionalOldSelf=true,message="metadata.name: the policy name combined with its namespace and kind produces an identity that is too long (max 253); the name must be at most 223 characters long, less in a namespace with a longer name"
type AdmissionPolicyGroup struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// Spec is what the group is to do.
	Spec AdmissionPolicyGroupSpec `json:"spec"`
	// Status is what became of it.
	// +optional
	Status PolicyStatus `json:"status,omitzero"`
}

// AdmissionPolicyGroupList is a list of AdmissionPolicyGroups.
//
// +kubebuilder:object:root=true
type AdmissionPolicyGroupList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []AdmissionPolicyGroup `json:"items"`
}

var _ PolicyGroup = (*AdmissionPolicyGroup)(nil)

// GetPolicyServer implements Policy.
func (p *AdmissionPolicyGroup) GetPolicyServer() string { return p.Spec.getPolicyServer() }

// GetMode implements Policy.
func (p *AdmissionPolicyGroup) GetMode() PolicyMode { return p.Spec.getMode() }

// IsMutating implements Policy. A group changes nothing.
func (p *AdmissionPolicyGroup) IsMutating() bool { return false }

// GetAdmissionSpec implements Policy.
func (p *AdmissionPolicyGroup) GetAdmissionSpec() *AdmissionSpec { return &p.Spec.AdmissionSpec }

// GetNamespaceSelector implements Policy: it selects the policy's own namespace.
func (p *AdmissionPolicyGroup) GetNamespaceSelector() *metav1.LabelSelector { return ownNamespace(p) }

// AllowsInsideAdmissionControllerNamespace implements Policy: a policy in the namespace of
// the operator was put there by somebody who may do anything to the operator.
func (p *AdmissionPolicyGroup) AllowsInsideAdmissionControllerNamespace() bool { return true }

// GetStatus implements Policy.
func (p *AdmissionPolicyGroup) GetStatus() *PolicyStatus { return &p.Status }

// GetPolicyGroupSpec implements PolicyGroup.
func (p *AdmissionPolicyGroup) GetPolicyGroupSpec() *PolicyGroupSpec { return &p.Spec.PolicyGroupSpec }

// GetMembers implements PolicyGroup.
func (p *AdmissionPolicyGroup) GetMembers() map[string]ContextAwareGroupMember {
	members := make(map[string]ContextAwareGroupMember, len(p.Spec.Policies))
	for name, member := range p.Spec.Policies {
		members[name] = ContextAwareGroupMember{GroupMember: member}
	}
	return members
}
