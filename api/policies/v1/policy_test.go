package v1_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// read is what the interface Policy says of a policy.
type read struct {
	PolicyServer      string
	Mode              policiesv1.PolicyMode
	Mutating          bool
	Inside            bool
	NamespaceSelector *metav1.LabelSelector
}

func TestPolicyReads(t *testing.T) {
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "production"}}
	everything := &policiesv1.ClusterAdmissionPolicy{}
	everything.Spec.PolicyServer = "tenants"
	everything.Spec.Mode = policiesv1.PolicyModeMonitor
	everything.Spec.Mutating = true
	everything.Spec.AllowInsideAdmissionControllerNamespace = true
	everything.Spec.NamespaceSelector = selector

	namespaced := &policiesv1.AdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop"}}
	namespaced.Spec.Mutating = true
	namespacedGroup := &policiesv1.AdmissionPolicyGroup{ObjectMeta: metav1.ObjectMeta{Namespace: "shop"}}
	clusterGroup := &policiesv1.ClusterAdmissionPolicyGroup{}
	clusterGroup.Spec.NamespaceSelector = selector
	clusterGroup.Spec.AllowInsideAdmissionControllerNamespace = true
	shop := &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": "shop"}}

	for name, tc := range map[string]struct {
		policy policiesv1.Policy
		want   read
	}{
		"a policy that the API server has not filled in has the defaults": {
			policy: &policiesv1.ClusterAdmissionPolicy{},
			want:   read{PolicyServer: "default", Mode: policiesv1.PolicyModeProtect},
		},
		"every field": {
			policy: everything,
			want: read{
				PolicyServer: "tenants", Mode: policiesv1.PolicyModeMonitor, Mutating: true, Inside: true, NamespaceSelector: selector,
			},
		},
		"a namespaced policy judges its own namespace, whichever that is": {
			policy: namespaced,
			want:   read{PolicyServer: "default", Mode: policiesv1.PolicyModeProtect, Mutating: true, Inside: true, NamespaceSelector: shop},
		},
		"a namespaced group judges its own namespace and changes nothing": {
			policy: namespacedGroup,
			want:   read{PolicyServer: "default", Mode: policiesv1.PolicyModeProtect, Inside: true, NamespaceSelector: shop},
		},
		"a cluster-wide group": {
			policy: clusterGroup,
			want:   read{PolicyServer: "default", Mode: policiesv1.PolicyModeProtect, Inside: true, NamespaceSelector: selector},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := read{
				PolicyServer:      tc.policy.GetPolicyServer(),
				Mode:              tc.policy.GetMode(),
				Mutating:          tc.policy.IsMutating(),
				Inside:            tc.policy.AllowsInsideAdmissionControllerNamespace(),
				NamespaceSelector: tc.policy.GetNamespaceSelector(),
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("policy (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPolicyGivesItsOwnParts(t *testing.T) {
	policy := &policiesv1.ClusterAdmissionPolicy{}

	policy.GetStatus().PolicyStatus = policiesv1.PolicyStateActive
	policy.GetAdmissionSpec().Mode = policiesv1.PolicyModeMonitor

	if policy.Status.PolicyStatus != policiesv1.PolicyStateActive || policy.Spec.Mode != policiesv1.PolicyModeMonitor {
		t.Errorf("got status %q and mode %q, want what was written through the interface", policy.Status.PolicyStatus, policy.Spec.Mode)
	}
}

func TestMembersOfGroups(t *testing.T) {
	member := policiesv1.GroupMember{Module: "registry://registry.example/a:v1"}
	contextAware := policiesv1.ContextAwareGroupMember{
		GroupMember:           member,
		ContextAwareResources: []policiesv1.ContextAwareResource{{APIVersion: "v1", Kind: "Namespace"}},
	}
	namespaced := &policiesv1.AdmissionPolicyGroup{}
	namespaced.Spec.Policies = map[string]policiesv1.GroupMember{"a": member}
	cluster := &policiesv1.ClusterAdmissionPolicyGroup{}
	cluster.Spec.Policies = map[string]policiesv1.ContextAwareGroupMember{"a": contextAware}

	for name, tc := range map[string]struct {
		group policiesv1.PolicyGroup
		want  map[string]policiesv1.ContextAwareGroupMember
	}{
		"namespaced":   {namespaced, map[string]policiesv1.ContextAwareGroupMember{"a": {GroupMember: member}}},
		"cluster-wide": {cluster, map[string]policiesv1.ContextAwareGroupMember{"a": contextAware}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.group.GetPolicyGroupSpec().Expression = "a()"
			tc.group.GetAdmissionSpec().Mode = policiesv1.PolicyModeMonitor
			if diff := cmp.Diff(tc.want, tc.group.GetMembers()); diff != "" {
				t.Errorf("members (-want +got):\n%s", diff)
			}
			if tc.group.GetPolicyGroupSpec().Expression != "a()" || tc.group.GetMode() != policiesv1.PolicyModeMonitor {
				t.Error("what was written through the interface is not in the group")
			}
		})
	}
}

func TestRuleInTheTypeOfTheAPIServer(t *testing.T) {
	scope := admissionregistrationv1.NamespacedScope
	rule := policiesv1.Rule{
		Operations:  []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
		APIGroups:   []string{"apps"},
		APIVersions: []string{"v1"},
		Resources:   []string{"deployments"},
		Scope:       &scope,
	}
	namespaced := scope
	want := admissionregistrationv1.RuleWithOperations{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
		Rule: admissionregistrationv1.Rule{
			APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"deployments"}, Scope: &namespaced,
		},
	}

	got := rule.RuleWithOperations()
	rule.Resources[0], *rule.Scope = "changed", admissionregistrationv1.ClusterScope

	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rule, after the one it was made from had changed (-want +got):\n%s", diff)
	}
}
