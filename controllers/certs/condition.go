package certs

import (
	"fmt"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
)

// SetCertificatesReady records the progress of the authority in the condition
// CertificatesReady and, once it has issued, the provider.
// Nothing is written to the API server.
func SetCertificatesReady(kubewarden *operatorv1alpha1.Kubewarden, progress Progress) {
	kubewarden.Status.Rekeying = progress.Rekeying
	condition := metav1.Condition{
		Type:               operatorv1alpha1.ConditionCertificatesReady,
		Status:             metav1.ConditionFalse,
		Reason:             progress.Reason,
		Message:            progress.Message,
		ObservedGeneration: kubewarden.Generation,
	}
	if progress.Ready {
		condition.Status = metav1.ConditionTrue
	}
	if progress.Provider != "" {
		kubewarden.Status.CertificateProvider = progress.Provider
		kubewarden.Status.CertificateIssuer = nil
		if progress.Issuer.Name != "" {
			kubewarden.Status.CertificateIssuer = &progress.Issuer
		}
	}
	if condition.Message == "" {
		condition.Message = fmt.Sprintf("the certificate authority is issued by provider %s, and published",
			kubewarden.Status.CertificateProvider)
		if issuer := kubewarden.Status.CertificateIssuer; issuer != nil {
			condition.Message = fmt.Sprintf("certificates are issued by %s %s of %s, and its authority is published", issuer.Kind, issuer.Name, issuer.Group)
		}
	}
	apimeta.SetStatusCondition(&kubewarden.Status.Conditions, condition)
}
