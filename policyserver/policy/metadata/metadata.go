package metadata

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

// ProtocolV1 is the one protocol version of waPC guests.
const ProtocolV1 = "v1"

// Metadata is the document. Its defaults are set by the decoder.
type Metadata struct {
	// ProtocolVersion is ProtocolV1 for waPC guests; others leave it out or "Unknown".
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
	// ContextAwareResources are the kinds that the policy would like to read.
	ContextAwareResources []Resource `json:"contextAwareResources,omitempty"`
	// HostCapabilities are the capabilities that the policy would like to use.
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
