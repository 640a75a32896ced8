package v1alpha1

// MutualTLS says whether policy servers demand certificates of those who call them. The operator
// and the audit scanner have some of their own. An API server has one when the kubeconfig of its
// AdmissionConfiguration names one for the Services of the policy servers.
//
// Nothing is ever asked of an API server that has none while the mode is Observe: the condition
// MutualTLSReady tells whether Require would refuse somebody.
//
// +kubebuilder:validation:XValidation:rule="!has(self.mode) || self.mode == 'Disabled' || has(self.clientCAConfigMap)",message="spec.mutualTLS.clientCAConfigMap: needed unless spec.mutualTLS.mode is Disabled"
// +kubebuilder:validation:XValidation:rule="!has(self.mode) || self.mode != 'Require' || (has(oldSelf.mode) && oldSelf.mode != 'Disabled')",message="spec.mutualTLS.mode: Require comes after Observe; set Observe first, and go on once the condition MutualTLSReady has the reason NobodyUnproven"
type MutualTLS struct {
	// Mode is Disabled, Observe or Require. Observe asks every caller for a certificate, lets
	// everybody in, and tells of those who have none that counts. Require refuses them. It comes
	// after Observe: a cluster whose API servers have no certificate would be refused every
	// request that a policy guards.
	// +optional
	// +kubebuilder:default=Disabled
	Mode MutualTLSMode `json:"mode,omitempty"`

	// ClientCAConfigMap is the name of the ConfigMap, in the namespace of the operator, whose key
	// client-ca.crt holds the authorities of the API servers' client certificates, in PEM.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ClientCAConfigMap string `json:"clientCAConfigMap,omitempty"`
}

// MutualTLSMode says what becomes of callers without a certificate.
// +kubebuilder:validation:Enum=Disabled;Observe;Require
type MutualTLSMode string

// The modes.
const (
	// MutualTLSDisabled: nobody needs a certificate.
	MutualTLSDisabled MutualTLSMode = "Disabled"
	// MutualTLSObserve: callers are asked for one, and all are let in.
	MutualTLSObserve MutualTLSMode = "Observe"
	// MutualTLSRequire: callers without one that counts are refused.
	MutualTLSRequire MutualTLSMode = "Require"
)

// ConditionMutualTLSReady is True when every replica demands certificates. It is absent while
// spec.mutualTLS.mode is Disabled.
const ConditionMutualTLSReady = "MutualTLSReady"

// Reasons of MutualTLSReady.
const (
	// ReasonCertificatesRequired: every replica demands a certificate. Status True.
	ReasonCertificatesRequired = "CertificatesRequired"
	// ReasonClientAuthoritiesMissing: the ConfigMap is not there, or holds no certificate.
	ReasonClientAuthoritiesMissing = "ClientAuthoritiesMissing"
	// ReasonReplicasBehind: replicas do not ask yet as the spec wants it; the message names them.
	ReasonReplicasBehind = "ReplicasBehind"
	// ReasonCallersUnproven: within some minutes callers had no certificate that counts; the
	// message names the replicas that were called. Require would refuse, or refuses, them.
	ReasonCallersUnproven = "CallersUnproven"
	// ReasonNobodyProven: nobody has been seen with a certificate yet, nor without.
	ReasonNobodyProven = "NobodyProven"
	// ReasonNobodyUnproven: everybody who called had one: Require would refuse nobody.
	ReasonNobodyUnproven = "NobodyUnproven"
)
