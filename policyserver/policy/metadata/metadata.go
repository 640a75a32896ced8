package metadata

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Section is the name of the custom section that holds a policy's metadata.
const Section = "io.kubewarden.metadata"

// ExecutionMode names the protocol that a guest speaks.
type ExecutionMode string

// Execution modes. An absent one means ModeWaPC.
const (
	ModeWaPC       ExecutionMode = "kubewarden-wapc"
	ModeOPA        ExecutionMode = "opa"
	ModeGatekeeper ExecutionMode = "gatekeeper"
	ModeWASI       ExecutionMode = "wasi"
)

// PolicyType says what kind of request a policy is made for.
type PolicyType string

// Policy types. An absent one means TypeKubernetes.
const (
	TypeKubernetes PolicyType = "kubernetes"
	TypeRaw        PolicyType = "raw"
)

// Protocol versions. An absent one means no version at all.
const (
	ProtocolV1      = "v1"
	ProtocolUnknown = "Unknown"
)

// Metadata is the document. Its defaults are set by Decode.
type Metadata struct {
	// ProtocolVersion is ProtocolV1 for waPC guests; others leave it out or ProtocolUnknown.
	ProtocolVersion string `json:"protocolVersion,omitempty"`
	// Rules are the requests that the policy is made for.
	Rules []Rule `json:"rules"`
	// Annotations describe the policy; keys begin with "io.kubewarden.policy.".
	Annotations map[string]string `json:"annotations,omitempty"`
	// Mutating says that the policy may change objects.
	Mutating bool `json:"mutating"`
	// BackgroundAudit says that the policy's verdict on an existing object makes sense.
	BackgroundAudit bool `json:"backgroundAudit"`
	// ExecutionMode names the protocol that the guest speaks.
	ExecutionMode ExecutionMode `json:"executionMode"`
	// PolicyType says what kind of request the policy is made for.
	PolicyType PolicyType `json:"policyType,omitempty"`
	// ContextAwareResources are the kinds that the policy would like to read. They grant
	// nothing.
	ContextAwareResources []Resource `json:"contextAwareResources,omitempty"`
	// HostCapabilities are the capabilities that the policy would like to use. They grant
	// nothing.
	HostCapabilities []string `json:"hostCapabilities,omitempty"`
	// MinimumKubewardenVersion is the oldest version that can run the policy, "x.y.z".
	MinimumKubewardenVersion string `json:"minimumKubewardenVersion,omitempty"`
}

// Rule selects requests, as a webhook's rule does.
type Rule struct {
	APIGroups   []string `json:"apiGroups"`
	APIVersions []string `json:"apiVersions"`
	Resources   []string `json:"resources"`
	Operations  []string `json:"operations"`
}

// Resource is a kind of Kubernetes object.
type Resource struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}

// Default is the metadata of a module that has none.
func Default() Metadata {
	return Metadata{BackgroundAudit: true, ExecutionMode: ModeWaPC, PolicyType: TypeKubernetes}
}

// Decode decodes the payload of the custom section. Unknown keys are ignored; the error
// names the key and what is allowed.
func Decode(payload []byte) (Metadata, error) {
	metadata := Default()
	required := struct {
		Rules    *json.RawMessage `json:"rules"`
		Mutating *json.RawMessage `json:"mutating"`
	}{}
	if err := json.Unmarshal(payload, &required); err != nil {
		return Metadata{}, err
	}
	if required.Rules == nil {
		return Metadata{}, errors.New("rules: missing")
	}
	if required.Mutating == nil {
		return Metadata{}, errors.New("mutating: missing")
	}
	if err := json.Unmarshal(payload, &metadata); err != nil {
		return Metadata{}, err
	}
	if err := metadata.check(); err != nil {
		return Metadata{}, err
	}
	return metadata, nil
}

func (m Metadata) check() error {
	if !slices.Contains([]string{"", ProtocolV1, ProtocolUnknown}, m.ProtocolVersion) {
		return notAllowed("protocolVersion", m.ProtocolVersion, ProtocolV1, ProtocolUnknown)
	}
	modes := []ExecutionMode{ModeWaPC, ModeOPA, ModeGatekeeper, ModeWASI}
	if !slices.Contains(modes, m.ExecutionMode) {
		return notAllowed("executionMode", m.ExecutionMode, modes...)
	}
	types := []PolicyType{TypeKubernetes, TypeRaw}
	if !slices.Contains(types, m.PolicyType) {
		return notAllowed("policyType", m.PolicyType, types...)
	}
	operations := []string{"CREATE", "UPDATE", "DELETE", "CONNECT", "*"}
	for i, rule := range m.Rules {
		for j, operation := range rule.Operations {
			if !slices.Contains(operations, operation) {
				return notAllowed(fmt.Sprintf("rules[%d].operations[%d]", i, j), operation, operations...)
			}
		}
	}
	if m.MinimumKubewardenVersion != "" {
		if _, _, err := majorMinor(m.MinimumKubewardenVersion); err != nil {
			return fmt.Errorf("minimumKubewardenVersion: %w", err)
		}
	}
	return nil
}

func notAllowed[T ~string](key string, value T, allowed ...T) error {
	names := make([]string, len(allowed))
	for i, name := range allowed {
		names[i] = string(name)
	}
	return fmt.Errorf("%s: got %q, allowed are %s", key, value, strings.Join(names, ", "))
}

// CheckRunnable says why a server of that version does not run the policy: its protocol
// version does not fit its mode, or it asks for a later server. The texts are upstream's.
func (m Metadata) CheckRunnable(serverVersion string) error {
	if m.ExecutionMode == ModeWaPC {
		switch m.ProtocolVersion {
		case ProtocolV1:
		case "":
			return errors.New("Policy is missing protocol version, which is required for KubewardenWapc execution mode") //nolint:staticcheck // upstream's text, known to users
		default:
			return fmt.Errorf("Policy uses protocol version %s but only V1 is supported", m.ProtocolVersion) //nolint:staticcheck // upstream's text, known to users
		}
	}
	if m.MinimumKubewardenVersion == "" {
		return nil
	}
	wantMajor, wantMinor, err := majorMinor(m.MinimumKubewardenVersion)
	if err != nil {
		return fmt.Errorf("minimumKubewardenVersion: %w", err)
	}
	major, minor, err := majorMinor(serverVersion)
	if err != nil {
		return fmt.Errorf("version of this server: %w", err)
	}
	if major < wantMajor || major == wantMajor && minor < wantMinor {
		return fmt.Errorf("Policy required Kubewarden version %s but is running on %s", m.MinimumKubewardenVersion, serverVersion) //nolint:staticcheck // upstream's text, known to users
	}
	return nil
}
