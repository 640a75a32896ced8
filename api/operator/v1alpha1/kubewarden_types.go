package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// KubewardenName is the only name that a Kubewarden can have.
const KubewardenName = "kubewarden"

// Finalizer holds a Kubewarden until the operator has removed what it made.
const Finalizer = "operator.kubewarden.io/uninstall"

// KubewardenSpec is what an installation is to be. All of it may be left out.
type KubewardenSpec struct {
	// Enforcement switches all policies: Suspended removes every webhook, at once and
	// whatever state the policy servers are in, and Enabled brings them back. Policies and
	// policy servers stay.
	// +optional
	// +kubebuilder:default=Enabled
	Enforcement Enforcement `json:"enforcement,omitempty"`

	// ExemptNamespaces are namespaces in which no policy judges anything. The namespace of
	// the operator need not be named.
	// +optional
	// +kubebuilder:validation:MaxItems=512
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +listType=set
	ExemptNamespaces []string `json:"exemptNamespaces,omitempty"`

	// DefaultPolicyServer is the PolicyServer named default, which runs the policies that
	// name none.
	// +optional
	// +kubebuilder:default={}
	DefaultPolicyServer DefaultPolicyServer `json:"defaultPolicyServer,omitzero"`

	// Certificates says where the certificates of the policy servers come from.
	// +optional
	// +kubebuilder:default={}
	Certificates Certificates `json:"certificates,omitzero"`

	// MutualTLS says whether policy servers demand certificates of those who call them.
	// +optional
	// +kubebuilder:default={}
	MutualTLS MutualTLS `json:"mutualTLS,omitzero"`

	// Audit says how what exists already is held against the policies.
	// +optional
	// +kubebuilder:default={}
	Audit Audit `json:"audit,omitzero"`

	// RecommendedPolicies are policies that come with the operator.
	// +optional
	// +kubebuilder:default={}
	RecommendedPolicies RecommendedPolicies `json:"recommendedPolicies,omitzero"`

	// Telemetry says what policy servers tell about themselves.
	// +optional
	// +kubebuilder:default={}
	Telemetry Telemetry `json:"telemetry,omitzero"`

	// NetworkPolicies says who may connect to policy servers, and to whom these may connect.
	// +optional
	// +kubebuilder:default={}
	NetworkPolicies NetworkPolicies `json:"networkPolicies,omitzero"`
}

// Telemetry says what policy servers tell about themselves.
type Telemetry struct {
	// Metrics has every policy server answer Prometheus, at the port metrics of its
	// Service. The env of a PolicyServer can say otherwise for that one.
	// +optional
	// +kubebuilder:default=true
	Metrics *bool `json:"metrics,omitempty"`

	// Monitoring says what is made for a Prometheus that the Prometheus operator runs.
	// +optional
	// +kubebuilder:default={}
	Monitoring Monitoring `json:"monitoring,omitzero"`
}

// Monitoring says what is made for a Prometheus that the Prometheus operator runs.
type Monitoring struct {
	// Enabled has the operator make ServiceMonitors for itself and for the policy servers,
	// and alerts, as soon as the cluster has the kinds ServiceMonitor and PrometheusRule,
	// and a Grafana dashboard with them.
	// +optional
	// +kubebuilder:default=true
	Enabled *bool `json:"enabled,omitempty"`

	// Labels are put on all of them, since a Prometheus may look for objects with certain
	// labels only. They cannot replace the labels that the operator needs.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Labels map[string]string `json:"labels,omitempty"`
}

// Enforcement switches all policies.
// +kubebuilder:validation:Enum=Enabled;Suspended
type Enforcement string

// The positions of the switch.
const (
	// EnforcementEnabled: policies are enforced.
	EnforcementEnabled Enforcement = "Enabled"
	// EnforcementSuspended: no policy is asked about anything.
	EnforcementSuspended Enforcement = "Suspended"
)

// DefaultPolicyServer is the PolicyServer named default.
type DefaultPolicyServer struct {
	// Enabled has the operator make the PolicyServer. With false one of that name is the
	// user's own, or does not exist.
	// +optional
	// +kubebuilder:default=true
	Enabled *bool `json:"enabled,omitempty"`

	// Spec is the spec of the PolicyServer.
	// +optional
	// +kubebuilder:default={}
	Spec policiesv1.PolicyServerSpec `json:"spec,omitzero"`
}

// KubewardenStatus is what became of the installation.
type KubewardenStatus struct {
	// ObservedGeneration is the generation of the spec that this status tells of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// CertificateProvider is the provider in use, never auto. Only a change of
	// spec.certificates.provider to another one changes it.
	// +optional
	CertificateProvider CertificateProvider `json:"certificateProvider,omitempty"`

	// CertificateIssuer is the issuer of spec.certificates.issuerRef that signs; it is absent
	// while an authority of the operator's own does.
	// +optional
	CertificateIssuer *IssuerReference `json:"certificateIssuer,omitempty"`

	// Rekeying tells how another certificate authority takes over; it is absent while none
	// does.
	// +optional
	Rekeying *Rekeying `json:"rekeying,omitempty"`

	// NeverLockOut lists, in words, the requests that no policy is ever asked about, so
	// that no policy can lock out nodes, the control plane or the repair of this
	// installation.
	// +optional
	// +listType=atomic
	NeverLockOut []string `json:"neverLockOut,omitempty"`

	// PolicyServers counts all policy servers.
	// +optional
	PolicyServers *PolicyServerCounts `json:"policyServers,omitempty"`

	// Policies counts all policies and policy groups.
	// +optional
	Policies *PolicyCounts `json:"policies,omitempty"`

	// Audit tells of the scans; it is absent while audits are disabled.
	// +optional
	Audit *AuditStatus `json:"audit,omitempty"`

	// RecommendedPolicies counts the recommended policies that the operator made; it is
	// absent while they are disabled.
	// +optional
	RecommendedPolicies *PolicyCounts `json:"recommendedPolicies,omitempty"`

	// Conditions tell what is in force and what is not, and why.
	// +optional
	// +patchMergeKey=type
	// +patchStrategy=merge
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty" patchStrategy:"merge" patchMergeKey:"type"`
}

// PolicyServerCounts counts policy servers.
type PolicyServerCounts struct {
	// Total is how many there are.
	Total int32 `json:"total"`

	// Ready is how many of them are Ready.
	Ready int32 `json:"ready"`
}

// PolicyCounts counts policies and policy groups by what their policyStatus says.
type PolicyCounts struct {
	// Total is how many there are.
	Total int32 `json:"total"`

	// Active is how many of them are active: their webhooks exist.
	Active int32 `json:"active"`

	// Pending is how many have a policy server, and no webhook yet.
	// +optional
	Pending int32 `json:"pending,omitempty"`

	// Scheduled is how many name a policy server that does not exist.
	// +optional
	Scheduled int32 `json:"scheduled,omitempty"`

	// Unscheduled is how many the operator has not looked at yet.
	// +optional
	Unscheduled int32 `json:"unscheduled,omitempty"`
}

// Kubewarden is an installation of Kubewarden: policies are enforced as long as it
// exists. Deleting it removes what the operator made; policies and policy servers stay.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=kw
// +kubebuilder:subresource:status
// +kubebuilder:storageversion
// +kubebuilder:printcolumn:name="Enforcement",type=string,JSONPath=`.spec.enforcement`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Policy Servers",type=integer,JSONPath=`.status.policyServers.total`
// +kubebuilder:printcolumn:name="Policies",type=integer,JSONPath=`.status.policies.total`
// +kubebuilder:printcolumn:name="Active",type=integer,JSONPath=`.status.policies.active`
// +kubebuilder:printcolumn:name="Last Audit",type=date,JSONPath=`.status.audit.lastSuccessfulTime`
// +kubebuilder:printcolumn:name="Rekeying",type=integer,JSONPath=`.status.rekeying.step`,priority=1
// +kubebuilder:printcolumn:name="Waiting For",type=string,JSONPath=`.status.rekeying.waitingFor`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name == 'kubewarden'",message="metadata.name: a cluster has one Kubewarden, and its name is kubewarden"
type Kubewarden struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// Spec is what the installation is to be.
	// +optional
	// +kubebuilder:default={}
	Spec KubewardenSpec `json:"spec,omitzero"`
	// Status is what became of it.
	// +optional
	Status KubewardenStatus `json:"status,omitzero"`
}

// KubewardenList is a list of Kubewardens.
//
// +kubebuilder:object:root=true
type KubewardenList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []Kubewarden `json:"items"`
}
