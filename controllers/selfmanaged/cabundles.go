package selfmanaged

import (
	"encoding/base64"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// caBundles is a configuration to apply that says nothing but whom the webhooks that call the
// operator are to trust. The second result says whether any of them trusts anybody else now.
func caBundles(live *admissionregistrationv1.ValidatingWebhookConfiguration, namespace string, caBundle []byte) (*unstructured.Unstructured, bool) {
	if !differs(live, namespace, caBundle) {
		return nil, false
	}
	var webhooks []any
	for i := range live.Webhooks {
		if webhook := &live.Webhooks[i]; calls(webhook, namespace) {
			webhooks = append(webhooks, map[string]any{
				"name":         webhook.Name,
				"clientConfig": map[string]any{"caBundle": base64.StdEncoding.EncodeToString(caBundle)},
			})
		}
	}
	patch := &unstructured.Unstructured{Object: map[string]any{"webhooks": webhooks}}
	patch.SetGroupVersionKind(admissionregistrationv1.SchemeGroupVersion.WithKind("ValidatingWebhookConfiguration"))
	patch.SetName(live.Name)
	// It must reach the very object that was looked at, and never make one.
	patch.SetUID(live.UID)
	return patch, true
}
