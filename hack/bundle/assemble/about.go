package assemble

import (
	_ "embed"

	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
)

// What catalogs and consoles say of the operator.
const (
	displayName = "Kubewarden Operator"
	summary     = "Policies for Kubernetes, as WebAssembly: admission control, mutation and audits, run by one operator."
	repository  = "https://github.com/kubewarden/kubewarden-operator"
	categories  = "Security"
	// capabilities is the highest of OLM's levels whose every promise is tested.
	capabilities = "Basic Install"
	// minKubeVersion is the oldest Kubernetes with CEL match conditions that are stable.
	minKubeVersion = "1.30.0"
	// firstVersion is the oldest version that can be upgraded.
	firstVersion = "0.1.0"
	// initializationKind is the kind without which the operator does nothing.
	initializationKind = "Kubewarden"
)

// description is a template of Markdown.
//
//go:embed about/description.md
var description string

//go:embed about/icon.svg
var icon []byte

var keywords = []string{"kubewarden", "policy", "admission control", "webhook", "webassembly", "wasm", "opa", "rego", "gatekeeper", "compliance", "audit", "security"}

var provider = operatorsv1alpha1.AppLink{Name: "Kubewarden", URL: "https://www.kubewarden.io"}

var maintainers = []operatorsv1alpha1.Maintainer{{Name: "Kubewarden maintainers", Email: "cncf-kubewarden-maintainers@lists.cncf.io"}}

var links = []operatorsv1alpha1.AppLink{
	{Name: "Source", URL: repository},
	{Name: "Documentation", URL: repository + "/tree/main/docs"},
	{Name: "Policies", URL: "https://artifacthub.io/packages/search?kind=13"},
}

// Kinds that the operator makes objects of.
var (
	certificates     = resource("Certificate", "certificates.cert-manager.io", "v1")
	clusterPolicies  = resource("ClusterAdmissionPolicy", "clusteradmissionpolicies.policies.kubewarden.io", "v1")
	configMaps       = resource("ConfigMap", "", "v1")
	cronJobs         = resource("CronJob", "", "batch/v1")
	deployments      = resource("Deployment", "", "apps/v1")
	issuers          = resource("Issuer", "issuers.cert-manager.io", "v1")
	networkPolicies  = resource("NetworkPolicy", "", "networking.k8s.io/v1")
	budgets          = resource("PodDisruptionBudget", "", "policy/v1")
	pods             = resource("Pod", "", "v1")
	policyServers    = resource("PolicyServer", "policyservers.policies.kubewarden.io", "v1")
	secrets          = resource("Secret", "", "v1")
	services         = resource("Service", "", "v1")
	serviceAccounts  = resource("ServiceAccount", "", "v1")
	mutatingWebhooks = resource("MutatingWebhookConfiguration", "", "admissionregistration.k8s.io/v1")
	validateWebhooks = resource("ValidatingWebhookConfiguration", "", "admissionregistration.k8s.io/v1")
)

func resource(kind, name, version string) operatorsv1alpha1.APIResourceReference {
	return operatorsv1alpha1.APIResourceReference{Kind: kind, Name: name, Version: version}
}

// resources are the objects that are made of one of the operator's kinds.
var resources = map[string][]operatorsv1alpha1.APIResourceReference{
	"Kubewarden":                  {policyServers, clusterPolicies, cronJobs, certificates, issuers, secrets},
	"PolicyServer":                {deployments, pods, services, configMaps, secrets, serviceAccounts, networkPolicies, budgets, certificates},
	"ClusterAdmissionPolicy":      {validateWebhooks, mutatingWebhooks},
	"AdmissionPolicy":             {validateWebhooks, mutatingWebhooks},
	"ClusterAdmissionPolicyGroup": {validateWebhooks},
	"AdmissionPolicyGroup":        {validateWebhooks},
}
