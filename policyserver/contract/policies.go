package contract

import "encoding/json"

// Mode says what a policy server does with a rejection.
type Mode string

const (
	// ModeProtect rejects the request. It is the default.
	ModeProtect Mode = "protect"
	// ModeMonitor lets the request pass and records what the verdict would have been.
	ModeMonitor Mode = "monitor"
)

// Policies is policies.yml: policy ID to entry. The format is that of upstream's
// policy-server (crate policy-server, config.rs); the operator writes compact JSON,
// which is YAML too.
type Policies map[string]Entry

// Entry is one policy or one policy group of policies.yml. It is a policy when Module
// is set and a group when Policies is; anything else is refused by the decoder.
type Entry struct {
	// NamespacedName is the custom resource the entry was made from.
	NamespacedName *NamespacedName `json:"namespacedName,omitempty"`
	// Module is the URL of the WebAssembly module: registry://, https://, http://,
	// file://, or no scheme, which means registry://.
	Module string `json:"module,omitempty"`
	// ModuleDigest pins the module: "sha256:" and 64 hex digits. Not in upstream's format.
	ModuleDigest string `json:"moduleDigest,omitempty"`
	// Refresh is the value of the annotation kubewarden.io/refresh: a changed value
	// resolves the module's tag again, once. Not in upstream's format.
	Refresh string `json:"refresh,omitempty"`
	// PolicyMode defaults to ModeProtect.
	PolicyMode Mode `json:"policyMode,omitempty"`
	// AllowedToMutate lets the policy change the object; a patch is a rejection otherwise.
	AllowedToMutate *bool `json:"allowedToMutate,omitempty"`
	// ContextAwareResources are the kinds that the policy may read through the host.
	ContextAwareResources []ContextAwareResource `json:"contextAwareResources,omitempty"`
	// Settings is a JSON object, or null for none.
	Settings json.RawMessage `json:"settings,omitempty"`
	// Message replaces the policy's own rejection message; for a group it is the message.
	Message string `json:"message,omitempty"`
	// TimeoutEvalSeconds bounds one evaluation, in seconds; nil means the server's default.
	TimeoutEvalSeconds *int32 `json:"timeoutEvalSeconds,omitempty"`
	// HostCapabilities are capability patterns; none means that every host call is denied.
	HostCapabilities []string `json:"hostCapabilities,omitempty"`

	// Policies are the members of a group, by name.
	Policies map[string]Member `json:"policies,omitempty"`
	// Expression is the group's boolean expression over its members.
	Expression string `json:"expression,omitempty"`
}

// NamespacedName names a policy's custom resource. The capitalised keys are upstream's.
type NamespacedName struct {
	Namespace string `json:"Namespace"`
	Name      string `json:"Name"`
}

// Member is one policy of a group.
type Member struct {
	Module                string                 `json:"module"`
	ModuleDigest          string                 `json:"moduleDigest,omitempty"`
	Settings              json.RawMessage        `json:"settings,omitempty"`
	ContextAwareResources []ContextAwareResource `json:"contextAwareResources,omitempty"`
	TimeoutEvalSeconds    *int32                 `json:"timeoutEvalSeconds,omitempty"`
	HostCapabilities      []string               `json:"hostCapabilities,omitempty"`
}

// ContextAwareResource is a kind that a policy may read.
type ContextAwareResource struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}

// IsGroup says whether the entry is a policy group.
func (e Entry) IsGroup() bool { return len(e.Policies) > 0 }
