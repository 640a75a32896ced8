package render_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

func mustWebhook(t *testing.T, in render.WebhookInput) render.Object {
	t.Helper()
	object, err := render.Webhook(in)
	if err != nil {
		t.Fatalf("render the webhook: %v", err)
	}
	return object
}

func validatingWebhook(t *testing.T, in render.WebhookInput) admissionregistrationv1.ValidatingWebhook {
	t.Helper()
	object := mustWebhook(t, in)
	configuration, ok := object.(*admissionregistrationv1.ValidatingWebhookConfiguration)
	if !ok || len(configuration.Webhooks) != 1 {
		t.Fatalf("got %T, want a ValidatingWebhookConfiguration with one webhook", object)
	}
	return configuration.Webhooks[0]
}

func TestWebhook(t *testing.T) {
	t.Run("validating, nothing set", func(t *testing.T) {
		golden(t, "webhook-validating", mustWebhook(t, webhookInput(policy())))
	})
	t.Run("mutating, every field set", func(t *testing.T) {
		in := webhookInput(policy(everyField))
		in.Installation.ExemptNamespaces = []string{"kube-system", "backup"}
		golden(t, "webhook-mutating", mustWebhook(t, in))
	})
}

func TestWebhookOfEachKind(t *testing.T) {
	for name, policy := range map[string]policiesv1.Policy{
		"webhook-namespaced":       namespacedPolicy(),
		"webhook-group":            group(),
		"webhook-namespaced-group": namespacedGroup(),
	} {
		t.Run(name, func(t *testing.T) {
			in := webhookInput(policy)
			in.Installation.ExemptNamespaces = []string{"kube-system"}
			golden(t, name, mustWebhook(t, in))
		})
	}
}

func TestWebhookLeavesItsInputAlone(t *testing.T) {
	policy := policy(everyField)
	before := policy.DeepCopy()
	in := webhookInput(policy)
	in.Installation.ExemptNamespaces = []string{"z", "a"}
	configuration, ok := mustWebhook(t, in).(*admissionregistrationv1.MutatingWebhookConfiguration)
	if !ok {
		t.Fatal("got no MutatingWebhookConfiguration")
	}
	webhook := &configuration.Webhooks[0]
	webhook.NamespaceSelector.MatchLabels["changed"] = "yes"
	webhook.ObjectSelector.MatchLabels["changed"] = "yes"
	webhook.Rules[0].Resources[0] = "changed"
	*webhook.TimeoutSeconds = 1
	webhook.ClientConfig.CABundle[0] = 'x'
	if diff := cmp.Diff(before, policy); diff != "" {
		t.Errorf("the policy changed (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"z", "a"}, in.Installation.ExemptNamespaces); diff != "" {
		t.Errorf("the exempt namespaces changed (-before +after):\n%s", diff)
	}
	if in.CABundle[0] != '-' {
		t.Error("the CA bundle changed")
	}
}

func TestWebhookNeedsACABundle(t *testing.T) {
	in := webhookInput(policy())
	in.CABundle = nil
	if object, err := render.Webhook(in); err == nil {
		t.Errorf("got %s without a CA bundle, want an error", object.GetName())
	}
}

func TestWebhooksNamesBothKinds(t *testing.T) {
	validating, mutating := "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"
	for _, tc := range []struct {
		mutating                bool
		wantWanted, wantOutcast string
	}{
		{mutating: false, wantWanted: validating, wantOutcast: mutating},
		{mutating: true, wantWanted: mutating, wantOutcast: validating},
	} {
		wanted, unwanted, err := render.Webhooks(policy(func(policy *policiesv1.ClusterAdmissionPolicy) { policy.Spec.Mutating = tc.mutating }))
		if err != nil {
			t.Fatalf("name the webhooks: %v", err)
		}
		got := []string{wanted.GetObjectKind().GroupVersionKind().Kind, unwanted.GetObjectKind().GroupVersionKind().Kind, wanted.GetName(), unwanted.GetName()}
		want := []string{tc.wantWanted, tc.wantOutcast, "kw.cap.no-privileged-pods", "kw.cap.no-privileged-pods"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("mutating %t (-want +got):\n%s", tc.mutating, diff)
		}
	}
}

func TestNamespaceSelector(t *testing.T) {
	notIn := func(namespaces ...string) metav1.LabelSelectorRequirement {
		return metav1.LabelSelectorRequirement{Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpNotIn, Values: namespaces}
	}
	exists := metav1.LabelSelectorRequirement{Key: "team", Operator: metav1.LabelSelectorOpExists}
	tests := map[string]struct {
		own    *metav1.LabelSelector
		inside bool
		exempt []string
		want   metav1.LabelSelector
	}{
		"the operator's namespace is left out": {
			want: metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{notIn("kubewarden")}},
		},
		"matchLabels are kept": {
			own: &metav1.LabelSelector{MatchLabels: map[string]string{"env": "production"}},
			want: metav1.LabelSelector{
				MatchLabels:      map[string]string{"env": "production"},
				MatchExpressions: []metav1.LabelSelectorRequirement{notIn("kubewarden")},
			},
		},
		"matchExpressions are kept": {
			own:  &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{exists}},
			want: metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{notIn("kubewarden"), exists}},
		},
		"exempt namespaces are left out, sorted, each once": {
			exempt: []string{"kube-system", "backup", "kubewarden"},
			want:   metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{notIn("backup", "kube-system", "kubewarden")}},
		},
		"a policy allowed inside": {
			inside: true,
			want:   metav1.LabelSelector{},
		},
		"a policy allowed inside still keeps out of exempt namespaces": {
			inside: true, exempt: []string{"backup"},
			want: metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{notIn("backup")}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			in := webhookInput(policy(func(policy *policiesv1.ClusterAdmissionPolicy) {
				policy.Spec.NamespaceSelector = tc.own
				policy.Spec.AllowInsideAdmissionControllerNamespace = tc.inside
			}))
			in.Installation.ExemptNamespaces = tc.exempt
			if diff := cmp.Diff(&tc.want, validatingWebhook(t, in).NamespaceSelector); diff != "" {
				t.Errorf("namespaceSelector (-want +got):\n%s", diff)
			}
		})
	}
}

func conditions(count int) func(*policiesv1.ClusterAdmissionPolicy) {
	return func(policy *policiesv1.ClusterAdmissionPolicy) {
		for i := range count {
			policy.Spec.MatchConditions = append(policy.Spec.MatchConditions,
				policiesv1.MatchCondition{Name: fmt.Sprintf("condition-%d", i), Expression: "object != null // the user's"})
		}
	}
}

func TestNeverLockOutTakesTheLastPlace(t *testing.T) {
	tests := map[string]struct {
		own      int
		want     int
		wantLast string
	}{
		"no condition of the user":                   {own: 0, want: 1, wantLast: policiesv1.NeverLockOutCondition},
		"one place left":                             {own: 63, want: 64, wantLast: policiesv1.NeverLockOutCondition},
		"no place left: joined with the user's last": {own: 64, want: 64, wantLast: "condition-63"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := validatingWebhook(t, webhookInput(policy(conditions(tc.own)))).MatchConditions
			if len(got) != tc.want {
				t.Fatalf("got %d conditions, want %d", len(got), tc.want)
			}
			last := got[len(got)-1]
			if last.Name != tc.wantLast {
				t.Errorf("the last condition is %q, want %q", last.Name, tc.wantLast)
			}
			if !strings.Contains(last.Expression, "system:serviceaccount:kubewarden:kubewarden-operator") {
				t.Errorf("the last condition does not exempt the operator: %s", last.Expression)
			}
		})
	}
}
