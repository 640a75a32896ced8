package v1alpha1

import policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"

// RecommendedPolicies are six ClusterAdmissionPolicies that together refuse what no usual
// Pod needs: privileges, root, the host's namespaces and paths. Names, settings and
// defaults are upstream's (its chart's recommendedPolicies).
type RecommendedPolicies struct {
	// Enabled has the operator make the policies, for the default PolicyServer to run.
	// With false those that it made go.
	// +optional
	Enabled bool `json:"enabled,omitempty"`

	// Mode of the policies: monitor lets everything pass and records verdicts, protect
	// refuses. A change back to monitor replaces the policies by new ones.
	// +optional
	// +kubebuilder:default=monitor
	Mode policiesv1.PolicyMode `json:"mode,omitempty"`

	// Registry is where the modules are pulled from: a host, with a port and a path where
	// it has them, under which they have the names kubewarden/policies/... that they have
	// in ghcr.io.
	// +optional
	// +kubebuilder:default=ghcr.io
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?)*$`
	Registry string `json:"registry,omitempty"`

	// SkipNamespaces are namespaces in which the policies judge nothing, beside those of
	// Kubernetes itself and of well-known add-ons, which upstream's chart names.
	// +optional
	// +kubebuilder:validation:MaxItems=512
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +listType=set
	SkipNamespaces []string `json:"skipNamespaces,omitempty"`
}
