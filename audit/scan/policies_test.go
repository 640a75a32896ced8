package scan

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/audit/plan"
	"github.com/kubewarden/kubewarden-operator/matching"
)

func notIn(namespaces ...string) metav1.LabelSelectorRequirement {
	return metav1.LabelSelectorRequirement{Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpNotIn, Values: namespaces}
}

func TestClusterAdmissionPolicyIsTranslatedWhole(t *testing.T) {
	scope := admissionregistrationv1.NamespacedScope
	policy := &policiesv1.ClusterAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{
			Name: "labels", UID: "uid-p", ResourceVersion: "7",
			DeletionTimestamp: &metav1.Time{Time: time.Unix(1, 0)},
			Annotations:       map[string]string{"io.kubewarden.policy.severity": "high", "io.kubewarden.policy.category": "Labels"},
		},
		Spec: policiesv1.ClusterAdmissionPolicySpec{
			PolicySpec: policiesv1.PolicySpec{
				AdmissionSpec: policiesv1.AdmissionSpec{
					PolicyServer: "reserved", Mode: policiesv1.PolicyModeMonitor, BackgroundAudit: new(false),
					Rules: []policiesv1.Rule{{
						Operations: []admissionregistrationv1.OperationType{"CREATE"},
						APIGroups:  []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}, Scope: &scope,
					}},
					FailurePolicy:   new(admissionregistrationv1.Ignore),
					MatchPolicy:     new(admissionregistrationv1.Exact),
					MatchConditions: []policiesv1.MatchCondition{{Name: "c", Expression: "true"}},
					ObjectSelector:  &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
				},
				Mutating: true,
			},
			NamespaceSelector:     &metav1.LabelSelector{MatchLabels: map[string]string{"env": "prod"}},
			ContextAwareResources: []policiesv1.ContextAwareResource{{APIVersion: "v1", Kind: "Namespace"}},
		},
		Status: policiesv1.PolicyStatus{PolicyStatus: policiesv1.PolicyStatePending},
	}
	want := plan.Policy{
		ID: "kw.cap.labels", Name: "labels", UID: "uid-p", ResourceVersion: "7", Server: "reserved", State: "pending", Deleting: true,
		Monitor: true, Mutating: true, ContextAware: true, Severity: "high", Category: "Labels",
		Webhook: matching.Webhook{
			Name: "kw.cap.labels",
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{"CREATE"},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}, Scope: &scope},
			}},
			FailurePolicy:   new(admissionregistrationv1.Ignore),
			MatchPolicy:     new(admissionregistrationv1.Exact),
			MatchConditions: []admissionregistrationv1.MatchCondition{{Name: "c", Expression: "true"}},
			ObjectSelector:  &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			NamespaceSelector: &metav1.LabelSelector{
				MatchLabels:      map[string]string{"env": "prod"},
				MatchExpressions: []metav1.LabelSelectorRequirement{notIn("kubewarden")},
			},
		},
	}
	before := policy.DeepCopy()
	if diff := cmp.Diff(want, exemptions{kubewardenNamespace: "kubewarden"}.clusterAdmissionPolicy(policy)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, policy); diff != "" {
		t.Errorf("the translation changed the policy (-want +got):\n%s", diff)
	}
}

// TestTheRevisionOfAPolicyIsKnownWhenAllReplicasServeIt holds that an audit keeps nothing of
// a policy while a change is on its way.
func TestTheRevisionOfAPolicyIsKnownWhenAllReplicasServeIt(t *testing.T) {
	one := policiesv1.ServedRevision{Revision: "0123456789ab", Replicas: 2}
	cases := map[string]struct {
		change func(*policiesv1.PolicyStatus)
		want   string
	}{
		"all serve one":          {func(*policiesv1.PolicyStatus) {}, "0123456789ab"},
		"the spec changed since": {func(s *policiesv1.PolicyStatus) { s.ObservedGeneration = 2 }, ""},
		"two are served": {func(s *policiesv1.PolicyStatus) {
			s.Served = append(s.Served, policiesv1.ServedRevision{Revision: "b", Replicas: 1})
		}, ""},
		"a replica does not serve it": {func(s *policiesv1.PolicyStatus) { s.Replicas.Ready = 3 }, ""},
		"none is served":              {func(s *policiesv1.PolicyStatus) { s.Served = nil }, ""},
		"no replica is ready":         {func(s *policiesv1.PolicyStatus) { s.Replicas.Ready, s.Served[0].Replicas = 0, 0 }, ""},
		"replicas are not counted":    {func(s *policiesv1.PolicyStatus) { s.Replicas = nil }, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			policy := &policiesv1.ClusterAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Generation: 3}}
			policy.Status = policiesv1.PolicyStatus{
				ObservedGeneration: 3, Replicas: &policiesv1.PolicyReplicas{Ready: 2}, Served: []policiesv1.ServedRevision{one},
			}
			tc.change(&policy.Status)
			if got := (exemptions{}).clusterAdmissionPolicy(policy).Revision; got != tc.want {
				t.Errorf("revision %q, want %q", got, tc.want)
			}
		})
	}
}

func ruleOnPods(scope admissionregistrationv1.ScopeType) policiesv1.Rule {
	return policiesv1.Rule{
		Operations: []admissionregistrationv1.OperationType{"CREATE"},
		APIGroups:  []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}, Scope: &scope,
	}
}

func TestEachKindOfPolicyHasItsOwn(t *testing.T) {
	meta := metav1.ObjectMeta{Name: "p", Namespace: "team-a"}
	groupSpec := policiesv1.PolicyGroupSpec{AdmissionSpec: policiesv1.AdmissionSpec{Rules: []policiesv1.Rule{ruleOnPods(admissionregistrationv1.ClusterScope)}}}
	namespacedPolicy := &policiesv1.AdmissionPolicy{ObjectMeta: meta}
	namespacedPolicy.Spec.Rules, namespacedPolicy.Spec.Mutating = groupSpec.Rules, true
	namespacedGroup := &policiesv1.AdmissionPolicyGroup{ObjectMeta: meta}
	namespacedGroup.Spec.PolicyGroupSpec = groupSpec
	clusterGroup := &policiesv1.ClusterAdmissionPolicyGroup{ObjectMeta: metav1.ObjectMeta{Name: "p"}}
	clusterGroup.Spec.PolicyGroupSpec = groupSpec
	clusterGroup.Spec.Policies = map[string]policiesv1.ContextAwareGroupMember{
		"plain":   {},
		"reading": {ContextAwareResources: []policiesv1.ContextAwareResource{{APIVersion: "v1", Kind: "Pod"}}},
	}
	plain := clusterGroup.DeepCopy()
	delete(plain.Spec.Policies, "reading")

	all := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{notIn("kubewarden")}}
	teamA := &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": "team-a"}}
	type own struct {
		ID, Namespace          string
		Mutating, ContextAware bool
		Scope                  *admissionregistrationv1.ScopeType
		NamespaceSelector      *metav1.LabelSelector
	}
	cases := map[string]struct {
		policy policiesv1.Policy
		want   own
	}{
		"AdmissionPolicy":      {namespacedPolicy, own{ID: "kw.ap.team-a.p", Namespace: "team-a", Mutating: true, NamespaceSelector: teamA}},
		"AdmissionPolicyGroup": {namespacedGroup, own{ID: "kw.apg.team-a.p", Namespace: "team-a", NamespaceSelector: teamA}},
		"ClusterAdmissionPolicyGroup": {clusterGroup, own{
			ID: "kw.capg.p", ContextAware: true, Scope: groupSpec.Rules[0].Scope, NamespaceSelector: all,
		}},
		"ClusterAdmissionPolicyGroup that reads nothing": {plain, own{ID: "kw.capg.p", Scope: groupSpec.Rules[0].Scope, NamespaceSelector: all}},
	}
	scanner := &Scanner{config: Config{KubewardenNamespace: "kubewarden"}}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p, err := scanner.policy(tc.policy)
			if err != nil {
				t.Fatal(err)
			}
			got := own{p.ID, p.Namespace, p.Mutating, p.ContextAware, p.Webhook.Rules[0].Scope, p.Webhook.NamespaceSelector}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if p.Webhook.Name != p.ID {
				t.Errorf("webhook is named %q, want %q", p.Webhook.Name, p.ID)
			}
		})
	}
	if _, err := scanner.policy(&policiesv1.PolicyServer{}); err == nil || err.Error() != "read a policy: *v1.PolicyServer is no kind of policy" {
		t.Errorf("error = %v", err)
	}
}

func TestThePlanKnowsAnActivePolicy(t *testing.T) {
	if plan.StateActive != string(policiesv1.PolicyStateActive) {
		t.Errorf("plan.StateActive = %q, the API says %q", plan.StateActive, policiesv1.PolicyStateActive)
	}
}

func TestDefaultsOfAPolicy(t *testing.T) {
	got := exemptions{kubewardenNamespace: "kubewarden"}.clusterAdmissionPolicy(&policiesv1.ClusterAdmissionPolicy{})
	if !got.BackgroundAudit || got.Monitor || got.Server != "default" {
		t.Errorf("an empty policy is audited, in protect mode, on the default server; got %+v", got)
	}
}

func TestNamespaceSelectorLeavesTheOperatorsNamespaceAndExemptOnesOut(t *testing.T) {
	own := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "env", Operator: metav1.LabelSelectorOpExists}}}
	cases := map[string]struct {
		selector *metav1.LabelSelector
		inside   bool
		exempt   []string
		want     *metav1.LabelSelector
	}{
		"no selector":                   {want: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{notIn("kubewarden")}}},
		"a selector":                    {selector: own, want: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{own.MatchExpressions[0], notIn("kubewarden")}}},
		"no selector, allowed inside":   {inside: true},
		"exempt namespaces":             {exempt: []string{"a", "b"}, want: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{notIn("a", "b", "kubewarden")}}},
		"exempt, allowed inside":        {exempt: []string{"a"}, inside: true, want: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{notIn("a")}}},
		"with selector, allowed inside": {selector: own, inside: true, want: own},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			policy := &policiesv1.ClusterAdmissionPolicy{}
			policy.Spec.NamespaceSelector, policy.Spec.AllowInsideAdmissionControllerNamespace = tc.selector, tc.inside
			if diff := cmp.Diff(tc.want, exemptions{kubewardenNamespace: "kubewarden", namespaces: tc.exempt}.namespaceSelector(policy)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
