package policy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/index"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

func fullPolicy() *policiesv1.ClusterAdmissionPolicy {
	ignore, exact := admissionregistrationv1.Ignore, admissionregistrationv1.Exact
	policy := &policiesv1.ClusterAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "labels"}}
	policy.Spec.Rules = []policiesv1.Rule{
		scoped(rule([]admissionregistrationv1.OperationType{"CREATE"}, []string{""}, []string{"v1"}, []string{"pods"}), "Namespaced"),
	}
	policy.Spec.FailurePolicy = &ignore
	policy.Spec.MatchPolicy = &exact
	policy.Spec.MatchConditions = []policiesv1.MatchCondition{{Name: "a", Expression: "true"}}
	policy.Spec.ObjectSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
	policy.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"c": "d"}}
	policy.Spec.TimeoutSeconds = new(int32)
	policy.Spec.Mutating = true
	policy.Spec.AllowInsideAdmissionControllerNamespace = true
	policy.Spec.Settings = runtime.RawExtension{Raw: []byte(`{"secret":true}`)}
	return policy
}

func webhookOf(t *testing.T, policy policiesv1.Policy) render.Object {
	t.Helper()
	webhook, err := render.Webhook(render.WebhookInput{Policy: policy, CABundle: []byte("PEM")})
	if err != nil {
		t.Fatal(err)
	}
	return webhook
}

// The webhook that is rendered from what was recalled is the one that was recorded,
// whatever became of the policy meanwhile.
func TestRecalledPolicyGivesTheSameWebhook(t *testing.T) {
	kind := index.PolicyKinds()[0]
	for name, before := range map[string]*policiesv1.ClusterAdmissionPolicy{
		"everything set": fullPolicy(),
		"bare": {
			ObjectMeta: metav1.ObjectMeta{Name: "labels"},
			Spec: policiesv1.ClusterAdmissionPolicySpec{PolicySpec: policiesv1.PolicySpec{AdmissionSpec: policiesv1.AdmissionSpec{
				Rules: []policiesv1.Rule{rule([]admissionregistrationv1.OperationType{"*"}, []string{""}, []string{"v1"}, []string{"pods"})},
			}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := webhookOf(t, before)
			recorded := webhookOf(t, before)
			if err := record(recorded, before, "hash"); err != nil {
				t.Fatal(err)
			}
			now := fullPolicy()
			now.Spec.Rules = nil
			now.Spec.FailurePolicy = nil
			now.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"x": "y"}}
			now.Spec.Mutating = !before.Spec.Mutating
			former := recalled(kind, now, recorded.GetAnnotations())
			if former == nil {
				t.Fatal("nothing was recalled")
			}
			if diff := cmp.Diff(want, webhookOf(t, former)); diff != "" {
				t.Errorf("unexpected webhook (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRecordHoldsNothingButTheWebhook(t *testing.T) {
	webhook := webhookOf(t, fullPolicy())
	if err := record(webhook, fullPolicy(), "hash"); err != nil {
		t.Fatal(err)
	}
	annotations := webhook.GetAnnotations()
	if got := annotations[annotationEntry]; got != "hash" {
		t.Errorf("the entry is %q, want hash", got)
	}
	if strings.Contains(annotations[annotationSpec], "secret") {
		t.Errorf("the settings are in the record: %s", annotations[annotationSpec])
	}
}

func TestNothingIsRecalled(t *testing.T) {
	kind := index.PolicyKinds()[0]
	for name, annotation := range map[string]string{
		"no record":              "",
		"no JSON":                "{",
		"no object":              "[]",
		"no rules":               `{"failurePolicy":"Fail"}`,
		"rules of another shape": `{"rules":"all"}`,
	} {
		t.Run(name, func(t *testing.T) {
			if got := recalled(kind, fullPolicy(), map[string]string{annotationSpec: annotation}); got != nil {
				t.Errorf("recalled %v, want nothing", got)
			}
		})
	}
}

func TestHugeSpecIsNotRecorded(t *testing.T) {
	policy := fullPolicy()
	policy.Spec.MatchConditions[0].Expression = strings.Repeat("true || ", 20000) + "true"
	webhook := webhookOf(t, policy)
	if err := record(webhook, policy, "hash"); err != nil {
		t.Fatal(err)
	}
	if _, ok := webhook.GetAnnotations()[annotationSpec]; ok {
		t.Error("a spec of 160 kB was recorded")
	}
}
