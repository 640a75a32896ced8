package v1

import "k8s.io/apimachinery/pkg/runtime"

// PolicyGroup is a policy group of either kind.
//
// +kubebuilder:object:generate=false
type PolicyGroup interface {
	Policy

	// GetPolicyGroupSpec is the part of the spec that both kinds of groups share, not a copy.
	GetPolicyGroupSpec() *PolicyGroupSpec
	// GetMembers are the members by name; those of a namespaced group read nothing from the
	// cluster. The map is not to be written to.
	GetMembers() map[string]ContextAwareGroupMember
}

// PolicyGroupSpec is a policy group as far as its members do not matter.
type PolicyGroupSpec struct {
	AdmissionSpec `json:",inline"`

	// Expression says in CEL which verdicts of the members let a request pass. Each member
	// is a function without arguments, true when it lets the request pass. There are !, &&,
	// ||, ==, != and parentheses, such as in signed_by_alice() || !from_public_registry().
	// +kubebuilder:validation:MinLength=1
	Expression string `json:"expression"`

	// Message is what a rejection says. What the members have to say goes into the causes
	// of the rejection.
	// +kubebuilder:validation:MinLength=1
	Message string `json:"message"`
}

// GroupMember is one policy of a group.
type GroupMember struct {
	// Module is where the WebAssembly module comes from: registry://, https://, http:// or
	// file://. No scheme means registry://.
	// +kubebuilder:validation:MinLength=1
	Module string `json:"module"`

	// Settings configure the policy; their form is the policy's own.
	// +optional
	// +nullable
	// +kubebuilder:pruning:PreserveUnknownFields
	Settings runtime.RawExtension `json:"settings,omitzero"`

	// TimeoutEvalSeconds bounds one evaluation of the member, in seconds. The timeouts of
	// all members together may not exceed timeoutSeconds of the group.
	// +optional
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=30
	TimeoutEvalSeconds *int32 `json:"timeoutEvalSeconds,omitempty"`
}

// ContextAwareGroupMember is one policy of a cluster-wide group.
type ContextAwareGroupMember struct {
	GroupMember `json:",inline"`

	// ContextAwareResources are the kinds that the member may read from the cluster. The
	// ServiceAccount of the policy server must be allowed to list them.
	// +optional
	// +listType=atomic
	ContextAwareResources []ContextAwareResource `json:"contextAwareResources,omitempty"`
}
