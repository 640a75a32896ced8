package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// PolicyServerSpec is what a PolicyServer wants.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.minAvailable) && has(self.maxUnavailable))",message="minAvailable and maxUnavailable cannot be both set"
// +kubebuilder:validation:XValidation:rule="(has(self.readinessProbePort) ? self.readinessProbePort : 8081) != (has(self.webhookPort) ? self.webhookPort : 8443)",fieldPath=.readinessProbePort,message="readinessProbePort must differ from webhookPort"
type PolicyServerSpec struct {
	// Image is the policy server's image. Left out, it is the operator's own image and
	// changes with it, which is what most installations want. An image whose name does not
	// end as the operator's is taken for one of upstream's contract, and is restarted by each
	// change of its policies, unless the annotation kubewarden.io/server-contract is live.
	// +optional
	Image string `json:"image,omitempty"`

	// Replicas is how many Pods the policy server has. With 0 its policies are not
	// enforced. With the annotation kubewarden.io/max-replicas it is the least number, and
	// an autoscaler chooses.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=0
	Replicas *int32 `json:"replicas,omitempty"`

	// MinAvailable is how many Pods a voluntary disruption must leave, as a number or a
	// percentage. It excludes maxUnavailable. With neither, a server of two or more
	// replicas may lose one at a time.
	// +optional
	MinAvailable *intstr.IntOrString `json:"minAvailable,omitempty"`

	// MaxUnavailable is how many Pods a voluntary disruption may take, as a number or a
	// percentage. It excludes minAvailable.
	// +optional
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`

	// Annotations are put on the Deployment and its Pods.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`

	// Labels are put on the Deployment and its Pods. They cannot replace the labels that
	// the operator needs.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`

	// Env are further environment variables. They cannot replace those that the operator
	// sets.
	// +optional
	// +listType=atomic
	Env []corev1.EnvVar `json:"env,omitempty"`

	// ServiceAccountName is the ServiceAccount of the Pods, whose rights are then the
	// user's to grant. Left out, the operator makes one for this policy server.
	// +optional
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// ImagePullSecret is a Secret of type kubernetes.io/dockerconfigjson in the namespace
	// of the operator, with which policies are pulled from registries.
	// +optional
	ImagePullSecret string `json:"imagePullSecret,omitempty"`

	// InsecureSources are the hosts from which policies may be pulled over plain HTTP, or
	// over TLS without checking the certificate.
	// +optional
	// +listType=atomic
	InsecureSources []string `json:"insecureSources,omitempty"`

	// SourceAuthorities maps hosts to the certificates, in PEM, of the authorities that
	// are trusted for them beside the usual ones.
	// +optional
	SourceAuthorities map[string][]string `json:"sourceAuthorities,omitempty"`

	// VerificationConfig is a ConfigMap in the namespace of the operator, with the key
	// verification-config: which signatures a policy must have.
	// +optional
	VerificationConfig string `json:"verificationConfig,omitempty"`

	// SigstoreTrustConfig is a ConfigMap in the namespace of the operator, with the key
	// sigstore-trust-config: the trust roots of a Sigstore of one's own.
	// +optional
	SigstoreTrustConfig string `json:"sigstoreTrustConfig,omitempty"`

	// SecurityContexts replace those of the Pod and of the container, each as a whole.
	// +optional
	SecurityContexts PolicyServerSecurity `json:"securityContexts,omitzero"`

	// Affinity limits the nodes that the Pods run on.
	// +optional
	Affinity corev1.Affinity `json:"affinity,omitzero"`

	// Limits are the most that one Pod may use.
	// +optional
	Limits corev1.ResourceList `json:"limits,omitempty"`

	// Requests are what one Pod is sure to get.
	// +optional
	Requests corev1.ResourceList `json:"requests,omitempty"`

	// Tolerations let the Pods run on tainted nodes.
	// +optional
	// +listType=atomic
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// PriorityClassName is the priority class of the Pods. Left out, it is
	// kubewarden-critical, which comes with the operator; for an image of upstream's
	// contract there is none.
	// +optional
	PriorityClassName string `json:"priorityClassName,omitempty"`

	// NamespacedPoliciesCapabilities are the host capabilities that namespaced policies on
	// this server may use: a capability such as oci/v1/verify, a family such as oci/*, or
	// * for all of them. Left out or empty, they may use none. Cluster-wide policies may
	// use all of them.
	// +optional
	// +listType=atomic
	NamespacedPoliciesCapabilities []HostCapability `json:"namespacedPoliciesCapabilities,omitempty"`

	// WebhookPort is the port that the Pods answer admission requests on.
	// Defaults to 8443.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	WebhookPort *int32 `json:"webhookPort,omitempty"`

	// ReadinessProbePort is the port that the Pods answer readiness probes on. It must
	// differ from webhookPort. Defaults to 8081.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	ReadinessProbePort *int32 `json:"readinessProbePort,omitempty"`

	// MetricsPort is the port of the Service at which metrics are to be had. It must not
	// be 443, which is the port of the admission requests. Defaults to 8080.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +kubebuilder:validation:XValidation:rule="self != 443",message="metricsPort must differ from the port of the admission requests (443)"
	MetricsPort *int32 `json:"metricsPort,omitempty"`
}

// PolicyServerSecurity replaces security contexts.
type PolicyServerSecurity struct {
	// Container replaces the security context of the container.
	// +optional
	Container *corev1.SecurityContext `json:"container,omitempty"`

	// Pod replaces the security context of the Pod.
	// +optional
	Pod *corev1.PodSecurityContext `json:"pod,omitempty"`
}

// HostCapability is a pattern for what policies can ask of their host: one capability, all of
// a family, or * for every one. The tree is upstream's (policyserver_webhook.go).
//
// +kubebuilder:validation:Enum=*;oci/*;oci/v1/*;oci/v1/verify;oci/v1/manifest_digest;oci/v1/oci_manifest;oci/v1/oci_manifest_config;oci/v2/*;oci/v2/verify;net/*;net/v1/*;net/v1/dns_lookup_host;crypto/*;crypto/v1/*;crypto/v1/is_certificate_trusted;kubernetes/*;kubernetes/list_resources_by_namespace;kubernetes/list_resources_all;kubernetes/get_resource;kubernetes/can_i
type HostCapability string

// PolicyServerStatus is what became of a PolicyServer.
type PolicyServerStatus struct {
	// ObservedGeneration is the generation of the spec that this status tells of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Image is the image that the Pods are to run: that of the spec, or the operator's own.
	// +optional
	Image string `json:"image,omitempty"`

	// Replicas counts the Pods.
	// +optional
	Replicas *PolicyServerReplicas `json:"replicas,omitempty"`

	// Policies counts the policies that are bound to the policy server.
	// +optional
	Policies *PolicyCounts `json:"policies,omitempty"`

	// Conditions tell what is in place and what is not, and why.
	// +optional
	// +patchMergeKey=type
	// +patchStrategy=merge
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty" patchStrategy:"merge" patchMergeKey:"type"`
}

// PolicyServerReplicas counts the Pods of a policy server.
type PolicyServerReplicas struct {
	// Wanted is how many Pods there are to be.
	Wanted int32 `json:"wanted"`

	// Ready is how many are ready.
	Ready int32 `json:"ready"`

	// UpToDate is how many of those serve every policy as the specs say.
	UpToDate int32 `json:"upToDate"`
}

// PolicyCounts counts policies.
type PolicyCounts struct {
	// Total is how many there are.
	Total int32 `json:"total"`

	// Enforced is how many every ready replica serves as their specs say.
	Enforced int32 `json:"enforced"`

	// Failed is how many at least one replica could not load.
	Failed int32 `json:"failed"`
}

// PolicyServer is a set of Pods that run policies.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=ps
// +kubebuilder:subresource:status
// +kubebuilder:storageversion
// +kubebuilder:printcolumn:name="Replicas",type=string,JSONPath=`.spec.replicas`
// +kubebuilder:printcolumn:name="Image",type=string,JSONPath=`.status.image`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="oldSelf.hasValue() || size(self.metadata.name) <= 49",optionalOldSelf=true,message="metadata.name: the PolicyServer name cannot be longer than 49 characters, since policy-server-<name> names a Service"
// +kubebuilder:validation:XValidation:rule="oldSelf.hasValue() || !self.metadata.name.contains('.')",optionalOldSelf=true,message="metadata.name: the PolicyServer name cannot contain a dot, since policy-server-<name> names a Service"
// +kubebuilder:validation:XValidation:rule="oldSelf.hasValue() || !(self.metadata.name.endsWith('-replicas') || self.metadata.name.endsWith('-issued'))",optionalOldSelf=true,message="metadata.name: the PolicyServer name cannot end in -replicas or -issued, since objects of another PolicyServer have such names; choose another ending"
type PolicyServer struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// Spec is what the policy server is to be. All of it may be left out.
	// +optional
	// +kubebuilder:default={}
	Spec PolicyServerSpec `json:"spec,omitzero"`
	// Status is what became of it.
	// +optional
	Status PolicyServerStatus `json:"status,omitzero"`
}

// PolicyServerList is a list of PolicyServers.
//
// +kubebuilder:object:root=true
type PolicyServerList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []PolicyServer `json:"items"`
}
