package v1alpha1

import networkingv1 "k8s.io/api/networking/v1"

// NetworkPolicies says who may connect to policy servers, and to whom these may connect.
// API servers and kubelets reach them from addresses that no selector describes, so
// admission requests and readiness probes are let in from everywhere. Pods on the network of
// their host are beyond the reach of any NetworkPolicy.
type NetworkPolicies struct {
	// Enabled has the operator make a NetworkPolicy for every policy server.
	// +optional
	// +kubebuilder:default=true
	Enabled *bool `json:"enabled,omitempty"`

	// MetricsFrom are those who may read metrics of policy servers. Left out, all Pods of
	// the cluster may, and nobody else.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	MetricsFrom []networkingv1.NetworkPolicyPeer `json:"metricsFrom,omitempty"`

	// Egress is to whom policy servers may connect. Left out, they may connect to everyone.
	// They need the API server, and the registries and hosts that policies come from or ask,
	// name servers included.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	Egress []networkingv1.NetworkPolicyEgressRule `json:"egress,omitempty"`
}
