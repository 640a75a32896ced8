package render_test

import (
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

func config() render.Config {
	return render.Config{
		Namespace:      "kubewarden",
		ServiceAccount: "kubewarden-operator",
		Image:          "ghcr.io/kubewarden/kubewarden-operator:0.1.0",
	}
}

func installation() render.Installation {
	return render.Installation{Name: "kubewarden", UID: "b2a7c6de-0000-4000-8000-000000000001"}
}

// server returns a PolicyServer with nothing in its spec, changed by the mutators.
func server(mutators ...func(*policiesv1.PolicyServerSpec)) *policiesv1.PolicyServer {
	server := &policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	for _, mutate := range mutators {
		mutate(&server.Spec)
	}
	return server
}

func serverInput(mutators ...func(*policiesv1.PolicyServerSpec)) render.PolicyServerInput {
	return render.PolicyServerInput{Config: config(), Installation: installation(), Server: server(mutators...)}
}

// everything sets every field of a PolicyServer's spec.
func everything(spec *policiesv1.PolicyServerSpec) {
	*spec = policiesv1.PolicyServerSpec{
		Image:              "mirror.example.com/tools/kubewarden-operator:0.1.1",
		Replicas:           new(int32(3)),
		MinAvailable:       new(intstr.FromString("50%")),
		Annotations:        map[string]string{"example.com/team": "security"},
		Labels:             map[string]string{"example.com/tier": "control", "app.kubernetes.io/part-of": "something-else"},
		ServiceAccountName: "policy-reader",
		ImagePullSecret:    "registry-login",
		InsecureSources:    []string{"registry.local:5000"},
		SourceAuthorities: map[string][]string{
			"registry.example.com": {"-----BEGIN CERTIFICATE-----\none\n-----END CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----\ntwo\n-----END CERTIFICATE-----\n"},
		},
		VerificationConfig:  "signatures",
		SigstoreTrustConfig: "sigstore-roots",
		Env: []corev1.EnvVar{
			{Name: contract.EnvLogLevel, Value: "debug"},
			{Name: "HTTPS_PROXY", Value: "http://proxy.example.com:3128"},
		},
		Affinity: corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
				TopologyKey:   corev1.LabelHostname,
				LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubewarden/policy-server": "default"}},
			}},
		}},
		Limits:            corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")},
		Requests:          corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("250m")},
		Tolerations:       []corev1.Toleration{{Key: "dedicated", Operator: corev1.TolerationOpExists}},
		PriorityClassName: "system-cluster-critical",
		NamespacedPoliciesCapabilities: []policiesv1.HostCapability{
			"oci/*",
		},
		WebhookPort:        new(int32(8080)),
		ReadinessProbePort: new(int32(8082)),
		MetricsPort:        new(int32(9090)),
		SecurityContexts: policiesv1.PolicyServerSecurity{
			Pod:       &corev1.PodSecurityContext{RunAsUser: new(int64(1000))},
			Container: &corev1.SecurityContext{ReadOnlyRootFilesystem: new(true)},
		},
	}
}

// policy returns a validating ClusterAdmissionPolicy on Pods, changed by the mutators.
func policy(mutators ...func(*policiesv1.ClusterAdmissionPolicy)) *policiesv1.ClusterAdmissionPolicy {
	policy := &policiesv1.ClusterAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "no-privileged-pods"}}
	policy.Spec.Module = "registry://registry.example.com/policies/pod-privileged:v1"
	policy.Spec.Rules = []policiesv1.Rule{{
		Operations:  []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
		APIGroups:   []string{""},
		APIVersions: []string{"v1"},
		Resources:   []string{"pods"},
	}}
	for _, mutate := range mutators {
		mutate(policy)
	}
	return policy
}

// namespacedPolicy returns a mutating AdmissionPolicy in the namespace shop, with a scope
// that it cannot have.
func namespacedPolicy() *policiesv1.AdmissionPolicy {
	cluster := policy(everyField)
	policy := &policiesv1.AdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "labels"}}
	policy.Spec.PolicySpec = cluster.Spec.PolicySpec
	policy.Spec.Rules[0].Scope = new(admissionregistrationv1.AllScopes)
	return policy
}

func groupSpec() policiesv1.PolicyGroupSpec {
	return policiesv1.PolicyGroupSpec{
		AdmissionSpec: policy().Spec.AdmissionSpec,
		Expression:    "signed() || !latest()",
		Message:       "the image must be signed, or its tag must say more than <latest>",
	}
}

func member(name string) policiesv1.GroupMember {
	return policiesv1.GroupMember{Module: "registry://registry.example.com/policies/" + name + ":v1"}
}

// group returns a ClusterAdmissionPolicyGroup with every field of a member set.
func group() *policiesv1.ClusterAdmissionPolicyGroup {
	group := &policiesv1.ClusterAdmissionPolicyGroup{ObjectMeta: metav1.ObjectMeta{Name: "images"}}
	group.Annotations = map[string]string{
		policiesv1.AnnotationRefresh: "2026-11-23T10:00:00Z", policiesv1.AnnotationInstanceMode: "warm",
	}
	group.Spec.PolicyGroupSpec = groupSpec()
	signed := policiesv1.ContextAwareGroupMember{
		GroupMember:           member("verify"),
		ContextAwareResources: []policiesv1.ContextAwareResource{{APIVersion: "v1", Kind: "Secret"}},
	}
	signed.Settings = runtime.RawExtension{Raw: []byte(`{"signer":"alice"}`)}
	signed.TimeoutEvalSeconds = new(int32(4))
	group.Spec.Policies = map[string]policiesv1.ContextAwareGroupMember{
		"signed": signed,
		"latest": {GroupMember: member("latest")},
	}
	group.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"env": "production"}}
	return group
}

// namespacedGroup returns an AdmissionPolicyGroup in the namespace shop.
func namespacedGroup() *policiesv1.AdmissionPolicyGroup {
	group := &policiesv1.AdmissionPolicyGroup{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "images"}}
	group.Spec.PolicyGroupSpec = groupSpec()
	group.Spec.Mode = policiesv1.PolicyModeMonitor
	group.Spec.Policies = map[string]policiesv1.GroupMember{"signed": member("verify"), "latest": member("latest")}
	return group
}

// everyField sets every field of a ClusterAdmissionPolicy's spec.
func everyField(policy *policiesv1.ClusterAdmissionPolicy) {
	policy.Annotations = map[string]string{policiesv1.AnnotationRefresh: "2026-11-23T10:00:00Z"}
	policy.Spec.PolicyServer = "reserved"
	policy.Spec.Mode = policiesv1.PolicyModeMonitor
	policy.Spec.Mutating = true
	policy.Spec.Rules[0].Scope = new(admissionregistrationv1.NamespacedScope)
	policy.Spec.FailurePolicy = new(admissionregistrationv1.Ignore)
	policy.Spec.MatchPolicy = new(admissionregistrationv1.Exact)
	policy.Spec.SideEffects = new(admissionregistrationv1.SideEffectClassNoneOnDryRun)
	policy.Spec.TimeoutSeconds = new(int32(7))
	policy.Spec.TimeoutEvalSeconds = new(int32(5))
	policy.Spec.Message = "ask the security team"
	policy.Spec.Settings = runtime.RawExtension{Raw: []byte(`{"mandatory_labels":["owner"],"limit":18446744073709551615}`)}
	policy.Spec.MatchConditions = []policiesv1.MatchCondition{{Name: "not-dry-run", Expression: "!request.dryRun"}}
	policy.Spec.ObjectSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"guarded": "true"}}
	policy.Spec.NamespaceSelector = &metav1.LabelSelector{
		MatchLabels:      map[string]string{"env": "production"},
		MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "team", Operator: metav1.LabelSelectorOpExists}},
	}
	policy.Spec.ContextAwareResources = []policiesv1.ContextAwareResource{{APIVersion: "v1", Kind: "Namespace"}}
}

func webhookInput(policy policiesv1.Policy) render.WebhookInput {
	return render.WebhookInput{
		Config:       config(),
		Installation: installation(),
		Policy:       policy,
		CABundle:     []byte("-----BEGIN CERTIFICATE-----\nCA\n-----END CERTIFICATE-----\n"),
	}
}
