package render

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
)

// Names of what API servers ask the operator through, about our own kinds, where the operator
// keeps the certificate itself. The first two come with config/webhook.
const (
	// OwnWebhooks is the ValidatingWebhookConfiguration.
	OwnWebhooks = "kubewarden-operator"
	// OwnWebhookService is the Service that it calls.
	OwnWebhookService = "kubewarden-operator-webhook"
	// OwnWebhookCA is the Secret with the authority, and OwnWebhookPair the one with the pair
	// that all replicas of the operator present.
	OwnWebhookCA   = "kubewarden-operator-webhook-ca"
	OwnWebhookPair = "kubewarden-operator-webhook-cert"
)

// OwnWebhookDNSName is the name that API servers call the operator by.
func OwnWebhookDNSName(namespace string) string { return OwnWebhookService + "." + namespace + ".svc" }

// OwnWebhookSecret renders the Secret of that name, OwnWebhookCA or OwnWebhookPair. It belongs
// to no Kubewarden: the operator is asked about our kinds before there is one.
func OwnWebhookSecret(config Config, name string, certificate, key []byte) *corev1.Secret {
	return &corev1.Secret{
		TypeMeta: typeMeta(corev1.SchemeGroupVersion, "Secret"),
		ObjectMeta: metav1.ObjectMeta{
			Name:      name,
			Namespace: config.Namespace,
			Labels: merge(InstallationLabels(operatorv1alpha1.KubewardenName), map[string]string{
				labelPartOf:    partOfKubewarden,
				labelManagedBy: managedByController,
			}),
		},
		Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{corev1.TLSCertKey: slices.Clone(certificate), corev1.TLSPrivateKeyKey: slices.Clone(key)},
	}
}
