package selfmanaged

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
)

func TestCABundles(t *testing.T) {
	webhook := func(name, namespace, service, caBundle string) admissionregistrationv1.ValidatingWebhook {
		return admissionregistrationv1.ValidatingWebhook{Name: name, ClientConfig: admissionregistrationv1.WebhookClientConfig{
			Service: &admissionregistrationv1.ServiceReference{Namespace: namespace, Name: service}, CABundle: []byte(caBundle),
		}}
	}
	const own = "kubewarden-operator-webhook"
	elsewhere := webhook("elsewhere", "other", own, "theirs")
	byURL := admissionregistrationv1.ValidatingWebhook{Name: "by-url", ClientConfig: admissionregistrationv1.WebhookClientConfig{URL: new("https://a.test")}}
	entry := func(name string) any {
		return map[string]any{"name": name, "clientConfig": map[string]any{"caBundle": "b3Vycw=="}}
	}
	tests := map[string]struct {
		webhooks []admissionregistrationv1.ValidatingWebhook
		want     []any // nil when nothing is to be written
	}{
		"fresh from its manifest": {
			webhooks: []admissionregistrationv1.ValidatingWebhook{webhook("a", "kubewarden", own, ""), webhook("b", "kubewarden", own, "")},
			want:     []any{entry("a"), entry("b")},
		},
		"as it should be": {
			webhooks: []admissionregistrationv1.ValidatingWebhook{webhook("a", "kubewarden", own, "ours"), elsewhere, byURL},
		},
		"one was changed: all are named, else those that are left out would lose theirs": {
			webhooks: []admissionregistrationv1.ValidatingWebhook{webhook("a", "kubewarden", own, "ours"), webhook("b", "kubewarden", own, "theirs"), elsewhere, byURL},
			want:     []any{entry("a"), entry("b")},
		},
		"nothing calls this operator": {
			webhooks: []admissionregistrationv1.ValidatingWebhook{elsewhere, byURL, webhook("other", "kubewarden", "other", "")},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			live := &admissionregistrationv1.ValidatingWebhookConfiguration{Webhooks: tc.webhooks}
			live.Name, live.UID = "kubewarden-operator", "uid"
			patch, changed := caBundles(live, "kubewarden", []byte("ours"))
			if changed != (tc.want != nil) {
				t.Fatalf("changed is %t, want %t", changed, tc.want != nil)
			}
			if !changed {
				return
			}
			want := map[string]any{
				"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
				"metadata": map[string]any{"name": "kubewarden-operator", "uid": "uid"}, "webhooks": tc.want,
			}
			if diff := cmp.Diff(want, patch.Object); diff != "" {
				t.Errorf("patch (-want +got):\n%s", diff)
			}
		})
	}
}
