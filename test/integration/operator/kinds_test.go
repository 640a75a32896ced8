//go:build integration

package operator

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// tenant is a namespace that is not the operator's.
const tenant = "default"

// kind is a kind of policies beside ClusterAdmissionPolicy.
type kind struct {
	id     string
	policy policiesv1.Policy
	// capabilities are what one module of the policy may ask of its host.
	capabilities []string
	// selected are the namespaces whose requests are judged, in the words of the webhook.
	selected metav1.LabelSelector
	scope    admissionregistrationv1.ScopeType
}

func kinds(server string) map[string]kind {
	outside := metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
		Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpNotIn, Values: []string{namespace},
	}}}
	own := metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: tenant}}
	return map[string]kind{
		"AdmissionPolicy": {
			id: "kw.ap.default.kinds", policy: namespacedPolicy("kinds", server),
			capabilities: []string{"oci/*"}, selected: own, scope: admissionregistrationv1.NamespacedScope,
		},
		"AdmissionPolicyGroup": {
			id: "kw.apg.default.kinds", policy: namespacedGroup("kinds", server),
			capabilities: []string{"oci/*"}, selected: own, scope: admissionregistrationv1.NamespacedScope,
		},
		"ClusterAdmissionPolicyGroup": {
			id: "kw.capg.kinds", policy: clusterGroup("kinds", server),
			capabilities: []string{"*"}, selected: outside, scope: admissionregistrationv1.AllScopes,
		},
	}
}

func namespacedPolicy(name, server string) *policiesv1.AdmissionPolicy {
	policy := &policiesv1.AdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: tenant, Name: name}}
	policy.Spec.PolicyServer = server
	policy.Spec.Module = "registry://example.test/labels:v1"
	policy.Spec.Rules = []policiesv1.Rule{podRule(admissionregistrationv1.Create)}
	return policy
}

func groupSpec(server string) policiesv1.PolicyGroupSpec {
	return policiesv1.PolicyGroupSpec{
		AdmissionSpec: policiesv1.AdmissionSpec{
			PolicyServer: server, Rules: []policiesv1.Rule{podRule(admissionregistrationv1.Create)},
		},
		Expression: "labels()",
		Message:    "labels are missing",
	}
}

func namespacedGroup(name, server string) *policiesv1.AdmissionPolicyGroup {
	group := &policiesv1.AdmissionPolicyGroup{ObjectMeta: metav1.ObjectMeta{Namespace: tenant, Name: name}}
	group.Spec.PolicyGroupSpec = groupSpec(server)
	group.Spec.Policies = map[string]policiesv1.GroupMember{"labels": {Module: "registry://example.test/labels:v1"}}
	return group
}

func clusterGroup(name, server string) *policiesv1.ClusterAdmissionPolicyGroup {
	group := &policiesv1.ClusterAdmissionPolicyGroup{ObjectMeta: metav1.ObjectMeta{Name: name}}
	group.Spec.PolicyGroupSpec = groupSpec(server)
	group.Spec.Policies = map[string]policiesv1.ContextAwareGroupMember{
		"labels": {GroupMember: policiesv1.GroupMember{Module: "registry://example.test/labels:v1"}},
	}
	return group
}

// TestEveryKindLivesAndDies tells the life of a policy of each kind.
func TestEveryKindLivesAndDies(t *testing.T) {
	server := shared.createServer(t, "kinds")
	change(t, shared, server, func(s *policiesv1.PolicyServer) {
		s.Spec.NamespacedPoliciesCapabilities = []policiesv1.HostCapability{"oci/*"}
	})
	replicas := shared.startReplicas(t, "kinds", 2)
	for name, kind := range kinds("kinds") {
		t.Run(name, func(t *testing.T) {
			policy := kind.policy
			webhook := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: kind.id}}
			shared.create(t, policy)
			within(t, patience, shared.policyIs(policy, policiesv1.PolicyStatePending,
				expected{policiesv1.ConditionReady, metav1.ConditionFalse, "Loading"}))
			within(t, patience, shared.configures(policy))
			if diff := cmp.Diff(kind.capabilities, capabilitiesOf(t, replicas[0].configured(t)[kind.id])); diff != "" {
				t.Errorf("capabilities (-want +got):\n%s", diff)
			}
			for _, replica := range replicas {
				replica.load(t)
			}
			within(t, patience, shared.policyIs(policy, policiesv1.PolicyStateActive, enforced...))
			checkWebhookOf(t, kind, webhook)

			if err := shared.admin.Delete(t.Context(), webhook); err != nil {
				t.Fatal(err)
			}
			within(t, healing, func(ctx context.Context) error { return shared.mustExist(ctx, webhook) })

			takesItsWebhookAlong(t, policy, webhook)
		})
	}
}

// takesItsWebhookAlong deletes a policy, which is not gone before its webhook is.
func takesItsWebhookAlong(t *testing.T, policy, webhook client.Object) {
	t.Helper()
	if err := shared.admin.Delete(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	within(t, patience, func(ctx context.Context) error { return shared.mustNotExist(ctx, policy) })
	if err := shared.mustNotExist(t.Context(), webhook); err != nil {
		t.Fatal(err)
	}
}

// capabilitiesOf are those of the policy, or of the only member of a group.
func capabilitiesOf(t *testing.T, entry contract.Entry) []string {
	t.Helper()
	if entry.IsGroup() {
		return entry.Policies["labels"].HostCapabilities
	}
	return entry.HostCapabilities
}

func checkWebhookOf(t *testing.T, kind kind, webhook *admissionregistrationv1.ValidatingWebhookConfiguration) {
	t.Helper()
	if err := shared.mustExist(t.Context(), webhook); err != nil {
		t.Fatal(err)
	}
	got := webhook.Webhooks[0]
	if want := "/validate/" + kind.id; *got.ClientConfig.Service.Path != want {
		t.Errorf("the webhook calls %s, want %s", *got.ClientConfig.Service.Path, want)
	}
	if diff := cmp.Diff(kind.selected, *got.NamespaceSelector); diff != "" {
		t.Errorf("namespaces (-want +got):\n%s", diff)
	}
	if *got.Rules[0].Scope != kind.scope {
		t.Errorf("scope is %s, want %s", *got.Rules[0].Scope, kind.scope)
	}
	want := map[string]string{"kubewardenPolicyName": kind.policy.GetName(), "kubewardenPolicyNamespace": kind.policy.GetNamespace()}
	for annotation, value := range want {
		if webhook.Annotations[annotation] != value {
			t.Errorf("annotation %s is %q, want %q", annotation, webhook.Annotations[annotation], value)
		}
	}
}

// TestNamespacedPoliciesGetNoCapabilityUnlessGranted changes what a server grants to tenants,
// which is nothing at first.
func TestNamespacedPoliciesGetNoCapabilityUnlessGranted(t *testing.T) {
	server := shared.createServer(t, "granting")
	policy := namespacedPolicy("granting", "granting")
	shared.create(t, policy)
	within(t, patience, shared.configures(policy))
	replica := shared.startReplicas(t, "granting", 1)[0]
	within(t, patience, shared.policyIs(policy, policiesv1.PolicyStateActive, enforced...))
	capabilities := func(want ...string) func(context.Context) error {
		return func(context.Context) error {
			got := replica.configured(t)["kw.ap.default.granting"].HostCapabilities
			if !cmp.Equal(got, want) {
				return fmt.Errorf("capabilities are %q, want %q", got, want)
			}
			return nil
		}
	}
	within(t, patience, capabilities([]string{}...))

	change(t, shared, server, func(s *policiesv1.PolicyServer) {
		s.Spec.NamespacedPoliciesCapabilities = []policiesv1.HostCapability{"kubernetes/can_i"}
	})
	within(t, patience, capabilities("kubernetes/can_i"))
	// Until the replicas know, they do not run the policy as it is to be.
	within(t, patience, shared.policyIs(policy, policiesv1.PolicyStateActive,
		expected{policiesv1.ConditionReady, metav1.ConditionFalse, "Loading"}))
	replica.load(t)
	within(t, patience, shared.policyIs(policy, policiesv1.PolicyStateActive, enforced...))
}

// TestPolicyThatBreaksARuleFailsAlone breaks a rule that only the operator knows: the
// namespace makes the name too long.
func TestPolicyThatBreaksARuleFailsAlone(t *testing.T) {
	sound, replicas := shared.activate(t, "alone")
	long := make([]byte, 224)
	for i := range long {
		long[i] = 'a'
	}
	broken := namespacedPolicy(string(long), "alone")
	shared.create(t, broken)
	for _, replica := range replicas {
		replica.load(t)
	}
	within(t, patience, shared.policyIs(broken, policiesv1.PolicyStatePending,
		expected{policiesv1.ConditionReady, metav1.ConditionFalse, "InvalidSpec"}))
	ready := apimeta.FindStatusCondition(broken.Status.Conditions, policiesv1.ConditionReady)
	const want = `metadata.name: Invalid value: "` // then the name, and upstream's words
	if got := ready.Message; len(got) < len(want) || got[:len(want)] != want {
		t.Errorf("Ready says %q, want it to begin with %q", got, want)
	}
	within(t, patience, shared.policyIs(sound, policiesv1.PolicyStateActive, enforced...))
}
