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

// InstanceMode says what the instance that judges a request was before.
type InstanceMode string

const (
	// InstancesPristine were put back to what they were when they were initialised. It is the
	// default.
	InstancesPristine InstanceMode = "pristine"
	// InstancesWarm were put back to what they were after some made-up requests: faster where
	// a guest does much only once. It is for policies that judge the whole cluster.
	InstancesWarm InstanceMode = "warm"
	// InstancesFresh were made for the request. It is for policies that judge the whole cluster,
	// too: it costs ten to a hundred times the processor's time.
	InstancesFresh InstanceMode = "fresh"
)

// InstanceModes are those that a policy may have.
func InstanceModes(namespaced bool) []InstanceMode {
	if namespaced {
		return []InstanceMode{InstancesPristine}
	}
	return []InstanceMode{InstancesPristine, InstancesWarm, InstancesFresh}
}

// Policies is policies.yml: policy ID to entry. The format is that of upstream's
// policy-server (crate policy-server, config.rs); the operator writes compact JSON,
// which is YAML too. DecodePolicies reads it, EncodePolicies writes it.
type Policies map[string]Entry

// Entry is one policy or one policy group of policies.yml. It is a policy when Module
// is set and a group when Policies is; anything else is refused by decoder and encoder.
type Entry struct {
	// NamespacedName is the custom resource the entry was made from.
	NamespacedName *NamespacedName
	// UID is that of the custom resource: what served a policy that was deleted never serves
	// another one that has its name. Not in upstream's format.
	UID string
	// Module is the URL of the WebAssembly module: registry://, https://, http://,
	// file://, or no scheme, which means registry://.
	Module string
	// ModuleDigest pins the module: "sha256:" and 64 hex digits. Not in upstream's format.
	ModuleDigest string
	// Refresh is the value of the annotation kubewarden.io/refresh: a changed value
	// resolves the module's tag again, once. Not in upstream's format.
	Refresh string
	// InstanceMode defaults to InstancesPristine; that of a group is for all of its members.
	// Not in upstream's format.
	InstanceMode InstanceMode
	// PolicyMode defaults to ModeProtect.
	PolicyMode Mode
	// AllowedToMutate lets the policy change the object; a patch is a rejection otherwise.
	AllowedToMutate *bool
	// ContextAwareResources are the kinds that the policy may read through the host.
	ContextAwareResources []ContextAwareResource
	// Settings is a JSON object, or null or nothing for none.
	Settings json.RawMessage
	// Message replaces the policy's own rejection message; for a group it is the message.
	Message string
	// TimeoutEvalSeconds bounds one evaluation, in seconds; nil means the server's default.
	TimeoutEvalSeconds *int32
	// HostCapabilities are capability patterns; none means that every host call is denied.
	HostCapabilities []string

	// Policies are the members of a group, by name.
	Policies map[string]Member
	// Expression is the group's boolean expression over its members.
	Expression string
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
	Settings              json.RawMessage        `json:"settings"`
	ContextAwareResources []ContextAwareResource `json:"contextAwareResources,omitempty"`
	TimeoutEvalSeconds    *int32                 `json:"timeoutEvalSeconds,omitempty"`
	HostCapabilities      []string               `json:"hostCapabilities"`
}

// ContextAwareResource is a kind that a policy may read.
type ContextAwareResource struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}

// IsGroup says whether the entry is a policy group.
func (e Entry) IsGroup() bool { return e.Module == "" && (len(e.Policies) > 0 || e.Expression != "") }

// PinnedDigest is the digest that an entry allows a replica to serve: that of the module,
// or for a group GroupDigest of its members' modules. It is empty when any will do, which
// for a group is so as long as one member is not pinned.
func (e Entry) PinnedDigest() string {
	if !e.IsGroup() {
		return e.ModuleDigest
	}
	digests := make(map[string]string, len(e.Policies))
	for name, member := range e.Policies {
		if member.ModuleDigest == "" {
			return ""
		}
		digests[name] = member.ModuleDigest
	}
	return GroupDigest(digests)
}
