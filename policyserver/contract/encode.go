package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// policyWire is a policy as it stands in policies.yml. Which members are always there
// and in which order they come is upstream's (controller: policyserver_controller_configmap.go).
type policyWire struct {
	NamespacedName        *NamespacedName        `json:"namespacedName,omitempty"`
	UID                   string                 `json:"uid,omitempty"`
	Module                string                 `json:"module"`
	ModuleDigest          string                 `json:"moduleDigest,omitempty"`
	Refresh               string                 `json:"refresh,omitempty"`
	InstanceMode          InstanceMode           `json:"instanceMode,omitempty"`
	PolicyMode            Mode                   `json:"policyMode"`
	AllowedToMutate       bool                   `json:"allowedToMutate"`
	ContextAwareResources []ContextAwareResource `json:"contextAwareResources,omitempty"`
	Settings              json.RawMessage        `json:"settings"`
	Message               string                 `json:"message,omitempty"`
	TimeoutEvalSeconds    *int32                 `json:"timeoutEvalSeconds,omitempty"`
	HostCapabilities      []string               `json:"hostCapabilities"`
}

// groupWire is a policy group as it stands in policies.yml.
type groupWire struct {
	NamespacedName *NamespacedName   `json:"namespacedName,omitempty"`
	UID            string            `json:"uid,omitempty"`
	Refresh        string            `json:"refresh,omitempty"`
	InstanceMode   InstanceMode      `json:"instanceMode,omitempty"`
	PolicyMode     Mode              `json:"policyMode"`
	Policies       map[string]Member `json:"policies"`
	Expression     string            `json:"expression"`
	Message        string            `json:"message"`
}

// EncodePolicies writes policies.yml as compact JSON with sorted IDs, so that equal
// policies give equal bytes. An entry that DecodePolicies would refuse for its shape
// is an error that names it.
func EncodePolicies(policies Policies) ([]byte, error) {
	wire := make(map[string]json.RawMessage, len(policies))
	for _, id := range slices.Sorted(maps.Keys(policies)) {
		entry, err := json.Marshal(policies[id])
		if err != nil {
			return nil, fmt.Errorf("encode policy %q: %w", id, err)
		}
		wire[id] = entry
	}
	return json.Marshal(wire)
}

// MarshalJSON writes the entry as it stands in policies.yml.
func (e Entry) MarshalJSON() ([]byte, error) {
	if e.PolicyMode == "" {
		e.PolicyMode = ModeProtect
	}
	if e.InstanceMode == InstancesPristine {
		e.InstanceMode = ""
	}
	switch {
	case e.Module != "" && len(e.Policies) > 0:
		return nil, errModuleAndPolicies
	case e.Module != "":
		return e.marshalPolicy()
	case e.IsGroup():
		return e.marshalGroup()
	default:
		return nil, errNeitherModuleNorPolicies
	}
}

var (
	errModuleAndPolicies        = errors.New("module and policies are both set; a policy has a module, a group has policies")
	errNeitherModuleNorPolicies = errors.New("neither module nor policies is set; a policy has a module, a group has policies, expression and message")
)

func (e Entry) marshalPolicy() ([]byte, error) {
	settings, err := canonicalSettings(e.Settings)
	if err != nil {
		return nil, err
	}
	return json.Marshal(policyWire{
		NamespacedName:        e.NamespacedName,
		UID:                   e.UID,
		Module:                e.Module,
		ModuleDigest:          e.ModuleDigest,
		Refresh:               e.Refresh,
		InstanceMode:          e.InstanceMode,
		PolicyMode:            e.PolicyMode,
		AllowedToMutate:       e.AllowedToMutate != nil && *e.AllowedToMutate,
		ContextAwareResources: e.ContextAwareResources,
		Settings:              settings,
		Message:               e.Message,
		TimeoutEvalSeconds:    e.TimeoutEvalSeconds,
		HostCapabilities:      present(e.HostCapabilities),
	})
}

func (e Entry) marshalGroup() ([]byte, error) {
	members := make(map[string]Member, len(e.Policies))
	for name, member := range e.Policies {
		settings, err := canonicalSettings(member.Settings)
		if err != nil {
			return nil, fmt.Errorf("member %q: %w", name, err)
		}
		member.Settings = settings
		member.HostCapabilities = present(member.HostCapabilities)
		members[name] = member
	}
	return json.Marshal(groupWire{
		NamespacedName: e.NamespacedName,
		UID:            e.UID,
		Refresh:        e.Refresh,
		InstanceMode:   e.InstanceMode,
		PolicyMode:     e.PolicyMode,
		Policies:       members,
		Expression:     e.Expression,
		Message:        e.Message,
	})
}

// present makes an absent list an empty one: upstream's reader refuses null here.
func present(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
