package render

import (
	"cmp"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// recommendation is what is particular to one recommended policy.
type recommendation struct {
	name string
	// module is the part of its URL after the registry.
	module   string
	mutating bool
	rules    []policiesv1.Rule
	settings string
}

// recommendations are upstream's of its chart 6.0.2 (templates/defaults/policies).
func recommendations() []recommendation {
	pods := target(corev1.GroupName, "pods")
	return []recommendation{
		{
			name:     "no-privilege-escalation",
			module:   "kubewarden/policies/allow-privilege-escalation-psp:v1.0.13",
			mutating: true,
			rules:    []policiesv1.Rule{pods.on(admissionregistrationv1.Create)},
			settings: `{"allowPrivilegeEscalation":false}`,
		},
		{
			name:     "no-host-namespace-sharing",
			module:   "kubewarden/policies/host-namespaces-psp:v1.1.11",
			rules:    []policiesv1.Rule{pods.on(admissionregistrationv1.Create, admissionregistrationv1.Update)},
			settings: `{"allow_host_ipc":false,"allow_host_network":false,"allow_host_pid":false,"allow_host_ports":[]}`,
		},
		{
			name:   "no-privileged-pod",
			module: "kubewarden/policies/pod-privileged:v1.0.13",
			rules: []policiesv1.Rule{
				pods.on(admissionregistrationv1.Create),
				target(corev1.GroupName, "replicationcontrollers").on(admissionregistrationv1.Create, admissionregistrationv1.Update),
				target("apps", "deployments", "replicasets", "statefulsets", "daemonsets").on(admissionregistrationv1.Create, admissionregistrationv1.Update),
				target("batch", "jobs", "cronjobs").on(admissionregistrationv1.Create, admissionregistrationv1.Update),
			},
			settings: `{"skip_ephemeral_containers":false,"skip_init_containers":false}`,
		},
		{
			name:     "do-not-run-as-root",
			module:   "kubewarden/policies/user-group-psp:v1.1.5",
			mutating: true,
			rules:    []policiesv1.Rule{pods.on(admissionregistrationv1.Create)},
			settings: `{"run_as_group":{"rule":"RunAsAny"},"run_as_user":{"rule":"MustRunAsNonRoot"},` +
				`"supplemental_groups":{"rule":"RunAsAny"},"validate_container_image_configuration":false}`,
		},
		{
			name:     "do-not-share-host-paths",
			module:   "kubewarden/policies/hostpaths-psp:v1.1.10",
			rules:    []policiesv1.Rule{pods.on(admissionregistrationv1.Create, admissionregistrationv1.Update)},
			settings: `{"allowedHostPaths":[{"pathPrefix":"/tmp","readOnly":true}]}`,
		},
		{
			name:     "drop-capabilities",
			module:   "kubewarden/policies/capabilities-psp:v1.0.13",
			mutating: true,
			rules:    []policiesv1.Rule{pods.on(admissionregistrationv1.Create, admissionregistrationv1.Update)},
			settings: `{"allowed_capabilities":[],"default_add_capabilities":[],"required_drop_capabilities":["ALL"]}`,
		},
	}
}

// resources of one group, in version v1.
type resourcesOf struct {
	group string
	names []string
}

func target(group string, names ...string) resourcesOf {
	return resourcesOf{group: group, names: names}
}

func (r resourcesOf) on(operations ...admissionregistrationv1.OperationType) policiesv1.Rule {
	return policiesv1.Rule{
		Operations: operations, APIGroups: []string{r.group}, APIVersions: []string{"v1"}, Resources: slices.Clone(r.names),
	}
}

// addOnNamespaces are those of Kubernetes itself and of add-ons that run with privileges.
// They are upstream's (global.skipNamespaces of its chart 6.0.2).
var addOnNamespaces = []string{
	"calico-apiserver", "calico-system", "capi-system", "cattle-alerting", "cattle-capi-system",
	"cattle-csp-adapter-system", "cattle-elemental-system", "cattle-epinio-system", "cattle-externalip-system",
	"cattle-fleet-local-system", "cattle-fleet-system", "cattle-gatekeeper-system", "cattle-global-data",
	"cattle-global-nt", "cattle-impersonation-system", "cattle-istio", "cattle-istio-system", "cattle-logging",
	"cattle-logging-system", "cattle-monitoring-system", "cattle-neuvector-system", "cattle-prometheus",
	"cattle-provisioning-capi-system", "cattle-resources-system", "cattle-sriov-system", "cattle-system",
	"cattle-turtles-system", "cattle-ui-plugin-system", "cattle-windows-gmsa-system", "cert-manager",
	"cis-operator-system", "fleet-default", "ingress-nginx", "istio-system", "kube-node-lease", "kube-public",
	"kube-system", "longhorn-system", "rancher-alerting-drivers", "security-scan", "tigera-operator",
}

// What reports say of each of them.
const (
	recommendedSeverity = "medium"
	recommendedCategory = "PSP"
)

// defaultRegistry is where upstream publishes its policies. The API server fills in the
// same.
const defaultRegistry = "ghcr.io"

// RecommendedPolicies renders the recommended policies of a Kubewarden; none when it wants
// none.
func RecommendedPolicies(kubewarden *operatorv1alpha1.Kubewarden) []*policiesv1.ClusterAdmissionPolicy {
	wanted := kubewarden.Spec.RecommendedPolicies
	if !wanted.Enabled {
		return nil
	}
	mode := cmp.Or(wanted.Mode, policiesv1.PolicyModeMonitor)
	failurePolicy := admissionregistrationv1.Ignore
	if mode == policiesv1.PolicyModeProtect {
		failurePolicy = admissionregistrationv1.Fail
	}
	skipped := slices.Concat(addOnNamespaces, wanted.SkipNamespaces)
	slices.Sort(skipped)
	skipped = slices.Compact(skipped)
	all := recommendations()
	policies := make([]*policiesv1.ClusterAdmissionPolicy, 0, len(all))
	for _, one := range all {
		policy := &policiesv1.ClusterAdmissionPolicy{
			TypeMeta: typeMeta(policiesv1.GroupVersion, "ClusterAdmissionPolicy"),
			ObjectMeta: metav1.ObjectMeta{
				Name: one.name,
				Labels: merge(RecommendedPolicyLabels(kubewarden.Name), map[string]string{
					labelPartOf:    partOfKubewarden,
					labelManagedBy: managedByController,
				}),
				Annotations: map[string]string{
					policiesv1.AnnotationSeverity: recommendedSeverity,
					policiesv1.AnnotationCategory: recommendedCategory,
				},
			},
		}
		policy.Spec.PolicyServer = policiesv1.DefaultPolicyServer
		policy.Spec.Mode = mode
		policy.Spec.Module = "registry://" + cmp.Or(wanted.Registry, defaultRegistry) + "/" + one.module
		policy.Spec.Mutating = one.mutating
		policy.Spec.Rules = one.rules
		policy.Spec.Settings = runtime.RawExtension{Raw: []byte(one.settings)}
		policy.Spec.FailurePolicy = new(failurePolicy)
		policy.Spec.BackgroundAudit = new(true)
		policy.Spec.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
			Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpNotIn, Values: slices.Clone(skipped),
		}}}
		policies = append(policies, policy)
	}
	return policies
}

// RecommendedPolicyKinds are the kinds that RecommendedPolicies renders.
func RecommendedPolicyKinds() []schema.GroupVersionKind {
	return []schema.GroupVersionKind{policiesv1.GroupVersion.WithKind("ClusterAdmissionPolicy")}
}

// RecommendedPolicyLabels are on every recommended policy.
func RecommendedPolicyLabels(installation string) map[string]string {
	return merge(InstallationLabels(installation), map[string]string{labelComponent: componentPolicy})
}
