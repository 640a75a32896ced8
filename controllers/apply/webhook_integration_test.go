//go:build integration

package apply_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/apply/applytest"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

func webhookInput(name string) render.WebhookInput {
	policy := &policiesv1.ClusterAdmissionPolicy{}
	policy.Name = name
	policy.Spec.Module = "registry.example.com/policy:1"
	policy.Spec.Rules = []policiesv1.Rule{{
		Operations: []admissionregistrationv1.OperationType{"CREATE"}, APIGroups: []string{"example.com"},
		APIVersions: []string{"v1"}, Resources: []string{"things"},
	}}
	policy.Spec.MatchConditions = []policiesv1.MatchCondition{{Name: "own", Expression: "true"}}
	return render.WebhookInput{
		Config:       render.Config{Namespace: applytest.Namespace, ServiceAccount: "kubewarden-operator"},
		Installation: render.Installation{Name: "kubewarden", UID: "b2a7c6de-0000-4000-8000-000000000001"},
		Policy:       policy,
		CABundle:     []byte("-----BEGIN CERTIFICATE-----\nMIIBhDCCASugAwIBAgIQIRi6zePL6mKjOipn+dNuaTAKBggqhkjOPQQDAjASMRAw\nDgYDVQQKEwdBY21lIENvMB4XDTE3MTAyMDE5NDMwNloXDTE4MTAyMDE5NDMwNlow\nEjEQMA4GA1UEChMHQWNtZSBDbzBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABD0d\n7VNhbWvZLWPuj/RtHFjvtJBEwOkhbN/BnnE8rnZR8+sbwnc/KhCk3FhnpHZnQz7B\n5aETbbIgmuvewdjvSBSjYzBhMA4GA1UdDwEB/wQEAwICpDATBgNVHSUEDDAKBggr\nBgEFBQcDATAPBgNVHRMBAf8EBTADAQH/MCkGA1UdEQQiMCCCDmxvY2FsaG9zdDo1\nNDUzgg4xMjcuMC4wLjE6NTQ1MzAKBggqhkjOPQQDAgNIADBFAiEA2zpJEPQyz6/l\nWf86aX6PepsntZv2GYlA5UpabfT2EZICICpJ5h/iI+i341gBmLiAFQOyTDT+/wQc\n6MF9+Yw1Yy0t\n-----END CERTIFICATE-----\n"),
	}
}

func TestAnEditedWebhookHeals(t *testing.T) {
	wanted, err := render.Webhook(webhookInput("edited"))
	if err != nil {
		t.Fatalf("render: %v", err)
	}
	rendered, _ := wanted.(*admissionregistrationv1.ValidatingWebhookConfiguration)
	applier := newApplier()
	mustApply(t, applier, nil, wanted)
	edits := map[string]func(*admissionregistrationv1.ValidatingWebhookConfiguration){
		"switched off by a condition": func(live *admissionregistrationv1.ValidatingWebhookConfiguration) {
			live.Webhooks[0].MatchConditions = append([]admissionregistrationv1.MatchCondition{{Name: "never", Expression: "false"}}, live.Webhooks[0].MatchConditions...)
		},
		"two conditions more, one webhook more": func(live *admissionregistrationv1.ValidatingWebhookConfiguration) {
			more := live.Webhooks[0].DeepCopy()
			more.Name = "more.example.com"
			live.Webhooks[0].MatchConditions = append(live.Webhooks[0].MatchConditions,
				admissionregistrationv1.MatchCondition{Name: "a", Expression: "false"}, admissionregistrationv1.MatchCondition{Name: "b", Expression: "false"})
			live.Webhooks = append([]admissionregistrationv1.ValidatingWebhook{*more}, live.Webhooks...)
		},
		"our condition changed": func(live *admissionregistrationv1.ValidatingWebhookConfiguration) {
			live.Webhooks[0].MatchConditions[1].Expression = "true"
		},
		"let through when the server is down": func(live *admissionregistrationv1.ValidatingWebhookConfiguration) {
			ignore := admissionregistrationv1.Ignore
			live.Webhooks[0].FailurePolicy = &ignore
		},
		"limited to labelled objects": func(live *admissionregistrationv1.ValidatingWebhookConfiguration) {
			live.Webhooks[0].ObjectSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"x": "y"}}
		},
		"a rule taken away": func(live *admissionregistrationv1.ValidatingWebhookConfiguration) {
			live.Webhooks[0].Rules = nil
		},
		"our label taken off": func(live *admissionregistrationv1.ValidatingWebhookConfiguration) {
			live.Labels = nil
			live.Webhooks[0].Rules = nil
		},
		"all webhooks taken away": func(live *admissionregistrationv1.ValidatingWebhookConfiguration) {
			live.Webhooks = nil
		},
	}
	for name, edit := range edits {
		t.Run(name, func(t *testing.T) {
			live := get(t, rendered.DeepCopy())
			edit(live)
			update(t, live)
			settle(t, wanted)
			mustApply(t, applier, nil, wanted)
			if diff := cmp.Diff(rendered.Webhooks, get(t, live).Webhooks); diff != "" {
				t.Errorf("webhooks (-rendered +live):\n%s", diff)
			}
			settle(t, wanted)
			mustApply(t, applier, nil, wanted)
			if requests := environment.Requests.Take(); len(requests) > 0 {
				t.Errorf("requests at rest: %q", requests)
			}
		})
	}
}

func TestAConditionThatIsNoLongerRenderedGoes(t *testing.T) {
	in := webhookInput("conditions")
	with, err := render.Webhook(in)
	if err != nil {
		t.Fatalf("render: %v", err)
	}
	applier := newApplier()
	mustApply(t, applier, nil, with)
	in.Policy.GetAdmissionSpec().MatchConditions = nil
	without, err := render.Webhook(in)
	if err != nil {
		t.Fatalf("render: %v", err)
	}
	mustApply(t, applier, nil, without)
	live := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	live.Name = without.GetName()
	if got := get(t, live).Webhooks[0].MatchConditions; len(got) != 1 {
		t.Errorf("got %d conditions, want ours alone", len(got))
	}
}
