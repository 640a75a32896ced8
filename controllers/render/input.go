package render

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Config is what the operator process knows of itself. It is the same for every object.
type Config struct {
	// Namespace is the operator's own; every namespaced object goes there.
	Namespace string
	// ServiceAccount is the operator's own ServiceAccount in Namespace: no policy is ever
	// asked about its requests.
	ServiceAccount string
	// Image is the operator's own image, which policy servers run too.
	Image string
	// ImagePullSecrets are the Secrets in Namespace with which nodes pull Image.
	ImagePullSecrets []string
}

// username is the name under which the API server knows the operator.
func (c Config) username() string {
	return "system:serviceaccount:" + c.Namespace + ":" + c.ServiceAccount
}

// Installation is what the Kubewarden object says to every object.
type Installation struct {
	// Name and UID are those of the Kubewarden.
	Name string
	UID  types.UID
	// ExemptNamespaces are never guarded; the operator's own need not be among them.
	ExemptNamespaces []string
	// WithoutMetrics has policy servers serve no metrics, unless their env says otherwise.
	WithoutMetrics bool
	// NetworkPolicies says who may connect to policy servers, and to whom these may. It is
	// read only.
	NetworkPolicies operatorv1alpha1.NetworkPolicies
	// MutualTLS says whether policy servers ask for certificates.
	MutualTLS operatorv1alpha1.MutualTLS
}

// NewInstallation reads a Kubewarden.
func NewInstallation(kubewarden *operatorv1alpha1.Kubewarden) Installation {
	return Installation{
		Name:             kubewarden.Name,
		UID:              kubewarden.UID,
		ExemptNamespaces: slices.Clone(kubewarden.Spec.ExemptNamespaces),
		WithoutMetrics:   !valueOr(kubewarden.Spec.Telemetry.Metrics, true),
		NetworkPolicies:  *kubewarden.Spec.NetworkPolicies.DeepCopy(),
		MutualTLS:        kubewarden.Spec.MutualTLS,
	}
}

// labels are on everything that is made for the installation.
func (i Installation) labels() map[string]string { return InstallationLabels(i.Name) }

// annotations are on what no owner reference can reach.
func (i Installation) annotations() map[string]string {
	return map[string]string{AnnotationInstallationUID: string(i.UID)}
}

// PolicyServerInput is what the children of a PolicyServer are rendered from.
type PolicyServerInput struct {
	Config       Config
	Installation Installation
	// Server is read only.
	Server *policiesv1.PolicyServer
	// Scaled is the number of replicas that the live Deployment asks for; nil when there is
	// none. It counts only where an autoscaler chooses the number.
	Scaled *int32
	// Policies are the entries of the policies bound to the server, made by Entry, as far as
	// Fit gave them room; Refused are those that got none.
	Policies contract.Policies
	Refused  map[string]RefusedEntry
	// LastGood are revisions to fall back on, by policy ID.
	LastGood map[string]contract.LastGood
	// Former is what a roll-out starts from; for ContractRollout alone.
	Former FormerRollout
	// ServingCertificate is the SHA-256 fingerprint, in hex, of the certificate in the Secret
	// that replicas mount; for ContractRollout alone, under which there is no Deployment
	// without one.
	ServingCertificate string
}

// WebhookInput is what the webhook configuration of a policy is rendered from.
type WebhookInput struct {
	Config       Config
	Installation Installation
	// Policy is read only.
	Policy policiesv1.Policy
	// CABundle is what the API server trusts, in PEM; it must not be empty.
	CABundle []byte
}
