package v1

import (
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AdmissionSpec is what all kinds of policies and policy groups share: which requests
// are judged, by which policy server, and what becomes of a rejection.
type AdmissionSpec struct {
	// PolicyServer is the name of the PolicyServer that runs the policy. It cannot be
	// changed.
	// +optional
	// +kubebuilder:default=default
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="(self == '' ? 'default' : self) == (oldSelf == '' ? 'default' : oldSelf)",reason=FieldValueForbidden,message="the field is immutable"
	PolicyServer string `json:"policyServer,omitempty"`

	// Mode says what becomes of a rejection: protect refuses the request, monitor lets it
	// pass and records the verdict. A policy may go from monitor to protect, not back.
	// +optional
	// +kubebuilder:default=protect
	// +kubebuilder:validation:XValidation:rule="!(oldSelf == 'protect' && self == 'monitor')",reason=FieldValueForbidden,message="field cannot transition from protect to monitor. Recreate instead."
	Mode PolicyMode `json:"mode,omitempty"`

	// Rules says which operations on which resources are judged. A request is judged when
	// it matches one of them.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	Rules []Rule `json:"rules"`

	// FailurePolicy says what becomes of a request when no verdict can be had: Fail
	// refuses it, Ignore lets it pass. Defaults to Fail.
	// +optional
	// +kubebuilder:validation:Enum=Fail;Ignore
	FailurePolicy *admissionregistrationv1.FailurePolicyType `json:"failurePolicy,omitempty"`

	// BackgroundAudit includes the policy in audit scans of what already exists.
	// +optional
	// +kubebuilder:default=true
	BackgroundAudit *bool `json:"backgroundAudit,omitempty"`

	// MatchPolicy says how the rules match: Exact takes them literally, Equivalent also
	// matches the resource in another group or version. Defaults to Equivalent.
	// +optional
	// +kubebuilder:validation:Enum=Exact;Equivalent
	MatchPolicy *admissionregistrationv1.MatchPolicyType `json:"matchPolicy,omitempty"`

	// MatchConditions are CEL expressions that must all be true for a request to be
	// judged. They see object, oldObject, request, namespaceObject and authorizer.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	// +listType=map
	// +listMapKey=name
	MatchConditions []MatchCondition `json:"matchConditions,omitempty"`

	// ObjectSelector limits the policy to objects whose labels match: either the new or
	// the old object of the request.
	// +optional
	ObjectSelector *metav1.LabelSelector `json:"objectSelector,omitempty"`

	// SideEffects says whether judging a request changes anything elsewhere. Defaults to
	// None. The API server calls no webhook with any other value than these two.
	// +optional
	// +kubebuilder:validation:Enum=None;NoneOnDryRun
	SideEffects *admissionregistrationv1.SideEffectClass `json:"sideEffects,omitempty"`

	// TimeoutSeconds is how long the API server waits for a verdict, in seconds. When it
	// is over, failurePolicy decides.
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=30
	TimeoutSeconds *int32 `json:"timeoutSeconds,omitempty"`
}

// PolicyMode says what becomes of a rejection.
// +kubebuilder:validation:Enum=protect;monitor
type PolicyMode string

// The modes of a policy.
const (
	// PolicyModeProtect refuses the request.
	PolicyModeProtect PolicyMode = "protect"
	// PolicyModeMonitor lets the request pass and records the verdict.
	PolicyModeMonitor PolicyMode = "monitor"
)

// Rule matches operations on resources. It has the fields of the API server's own
// RuleWithOperations, in a schema that refuses what the API server would refuse later.
type Rule struct {
	// Operations are CREATE, UPDATE, DELETE, CONNECT, or * for all of them.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:Enum=CREATE;UPDATE;DELETE;CONNECT;*
	// +listType=atomic
	Operations []admissionregistrationv1.OperationType `json:"operations"`

	// APIGroups are the groups of the resources: "" is the core group, * is every group.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	// +listType=atomic
	APIGroups []string `json:"apiGroups"`

	// APIVersions are the versions of the resources; * is every version.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +listType=atomic
	APIVersions []string `json:"apiVersions"`

	// Resources are plural names such as pods, with a subresource as in pods/log. * is
	// every resource, pods/* every subresource of pods, */scale the scale of everything,
	// and */* everything there is.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +listType=atomic
	Resources []string `json:"resources"`

	// Scope limits the rule to Cluster or Namespaced resources; * does not limit it and
	// is the default.
	// +optional
	// +kubebuilder:validation:Enum=Cluster;Namespaced;*
	Scope *admissionregistrationv1.ScopeType `json:"scope,omitempty"`
}

// RuleWithOperations is the rule in the API server's own type. It shares no memory with
// the receiver.
func (r *Rule) RuleWithOperations() admissionregistrationv1.RuleWithOperations {
	c := r.DeepCopy()
	return admissionregistrationv1.RuleWithOperations{
		Operations: c.Operations,
		Rule: admissionregistrationv1.Rule{
			APIGroups:   c.APIGroups,
			APIVersions: c.APIVersions,
			Resources:   c.Resources,
			Scope:       c.Scope,
		},
	}
}

// MatchCondition is one CEL expression that a request must satisfy to be judged.
type MatchCondition struct {
	// Name tells conditions apart: a qualified name such as exclude-leases or
	// example.com/exclude-leases.
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:Pattern=`^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]$`
	// +kubebuilder:validation:XValidation:rule="self != 'kubewarden.io-never-lock-out'",message="the name is taken by the condition that is added to every webhook"
	Name string `json:"name"`

	// Expression is the CEL expression. It must yield a boolean.
	// +kubebuilder:validation:Pattern=`\S`
	Expression string `json:"expression"`
}
