package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Policy is a policy or a policy group of any kind, as far as its kind does not matter.
// What a policy runs, one module or an expression over members, depends on the kind and
// is not part of it.
//
// +kubebuilder:object:generate=false
type Policy interface {
	metav1.Object
	runtime.Object

	// GetPolicyServer is the name of the PolicyServer that runs the policy; it is never
	// empty.
	GetPolicyServer() string
	// GetMode is the wanted mode; it is never empty.
	GetMode() PolicyMode
	// IsMutating says whether the policy may change the object of a request.
	IsMutating() bool
	// GetAdmissionSpec is the part of the spec that all kinds share, not a copy.
	GetAdmissionSpec() *AdmissionSpec
	// GetNamespaceSelector limits the namespaces whose requests are judged; nil means
	// every namespace. It is not to be written to.
	GetNamespaceSelector() *metav1.LabelSelector
	// AllowsInsideAdmissionControllerNamespace says whether requests in the namespace of
	// the operator are judged too.
	AllowsInsideAdmissionControllerNamespace() bool
	// GetStatus is the status, not a copy.
	GetStatus() *PolicyStatus
}

// PolicySpec is a policy that runs one module.
//
// +kubebuilder:validation:XValidation:rule="!has(self.timeoutEvalSeconds) || !has(self.timeoutSeconds) || self.timeoutEvalSeconds <= self.timeoutSeconds",fieldPath=.timeoutEvalSeconds,message="timeoutEvalSeconds cannot be greater than timeoutSeconds"
type PolicySpec struct {
	AdmissionSpec `json:",inline"`

	// Module is where the WebAssembly module comes from: registry://, https://, http:// or
	// file://. No scheme means registry://.
	// +kubebuilder:validation:MinLength=1
	Module string `json:"module"`

	// Settings configure the policy; their form is the policy's own.
	// +optional
	// +nullable
	// +kubebuilder:pruning:PreserveUnknownFields
	Settings runtime.RawExtension `json:"settings,omitzero"`

	// Mutating says whether the policy may change the object of a request.
	Mutating bool `json:"mutating"`

	// TimeoutEvalSeconds bounds one evaluation on the policy server, in seconds. It may
	// not exceed timeoutSeconds.
	// +optional
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=30
	TimeoutEvalSeconds *int32 `json:"timeoutEvalSeconds,omitempty"`

	// Message replaces the policy's own message in a rejection. The policy's own one then
	// goes into the causes of the rejection.
	// +optional
	Message string `json:"message,omitempty"`
}

// ContextAwareResource is a kind that a policy reads from the cluster.
type ContextAwareResource struct {
	// APIVersion is the group and version, such as v1 or apps/v1.
	// +kubebuilder:validation:MinLength=1
	APIVersion string `json:"apiVersion"`

	// Kind is the kind in the singular, such as Namespace.
	// +kubebuilder:validation:MinLength=1
	Kind string `json:"kind"`
}

// PolicyStatus is what became of a policy.
type PolicyStatus struct {
	// PolicyStatus is the stage that the policy has reached.
	PolicyStatus PolicyState `json:"policyStatus"`

	// Mode is the mode that the policy servers run the policy in; unknown while none does.
	// +optional
	Mode ObservedMode `json:"mode,omitempty"`

	// ObservedGeneration is the generation of the spec that this status tells of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Replicas counts the replicas of the policy server by what they do about this policy.
	// +optional
	Replicas *PolicyReplicas `json:"replicas,omitempty"`

	// ModuleDigest is the module that the policy's tag stood for when it was loaded:
	// "sha256:" and hex digits, maybe only the first of them.
	// +optional
	ModuleDigest string `json:"moduleDigest,omitempty"`

	// Served lists the revisions of the policy that ready replicas serve. There is more
	// than one only while a change is on its way, or when one failed.
	// +optional
	// +listType=map
	// +listMapKey=revision
	Served []ServedRevision `json:"served,omitempty"`

	// Conditions tell what is in force and what is not, and why.
	// +optional
	// +patchMergeKey=type
	// +patchStrategy=merge
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty" patchStrategy:"merge" patchMergeKey:"type"`
}

// PolicyReplicas counts replicas of a policy server.
type PolicyReplicas struct {
	// Ready is how many replicas are ready.
	Ready int32 `json:"ready"`

	// Enforcing is how many of those serve the policy as its spec says.
	Enforcing int32 `json:"enforcing"`
}

// ServedRevision is a revision of a policy: its configuration and module.
type ServedRevision struct {
	// Revision is a hash over the policy's configuration and its module.
	Revision string `json:"revision"`

	// ModuleDigest is the module of the revision: "sha256:" and hex digits, maybe only the
	// first of them.
	// +optional
	ModuleDigest string `json:"moduleDigest,omitempty"`

	// Replicas is how many ready replicas serve the revision.
	Replicas int32 `json:"replicas"`
}

// PolicyState is the stage that a policy has reached.
//
//	scheduled --PolicyServer exists--> pending --every ready replica serves it--> active
//	    ^                                 |                                        |
//	    +------- PolicyServer gone or deleting -----------------------------------+
//
// +kubebuilder:validation:Enum=unscheduled;scheduled;pending;active
type PolicyState string

// The stages of a policy.
const (
	// PolicyStateUnscheduled: no policy server is named. Kept for compatibility: the
	// default leaves no policy without one.
	PolicyStateUnscheduled PolicyState = "unscheduled"
	// PolicyStateScheduled: the policy server does not exist, or is being deleted.
	PolicyStateScheduled PolicyState = "scheduled"
	// PolicyStatePending: the policy server exists and does not serve the policy yet.
	PolicyStatePending PolicyState = "pending"
	// PolicyStateActive: the policy is served and requests are sent to it.
	PolicyStateActive PolicyState = "active"
)

// ObservedMode is the mode that a policy runs in.
// +kubebuilder:validation:Enum=protect;monitor;unknown
type ObservedMode string

// The modes that a policy can be seen in.
const (
	ObservedModeProtect ObservedMode = "protect"
	ObservedModeMonitor ObservedMode = "monitor"
	// ObservedModeUnknown: no policy server runs the policy.
	ObservedModeUnknown ObservedMode = "unknown"
)

// getPolicyServer is the named PolicyServer, or the default one.
func (s *AdmissionSpec) getPolicyServer() string {
	if s.PolicyServer == "" {
		return DefaultPolicyServer
	}
	return s.PolicyServer
}

// getMode is the wanted mode, or the default one.
func (s *AdmissionSpec) getMode() PolicyMode {
	if s.Mode == "" {
		return PolicyModeProtect
	}
	return s.Mode
}

// ownNamespace selects the namespace that a policy is in, by the label that the API server
// keeps on every namespace.
func ownNamespace(policy metav1.Object) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: policy.GetNamespace()}}
}
