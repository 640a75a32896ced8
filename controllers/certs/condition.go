package certs

import (
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
)

// SetCertificatesReady records the progress of the authority in the condition
// CertificatesReady and, once it is issued, the provider, which is decided only once.
// Nothing is written to the API server.
func SetCertificatesReady(kubewarden *operatorv1alpha1.Kubewarden, progress Progress) {
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
	if condition.Message == "" {
		condition.Message = "the certificate authority is issued and published"
	}
	apimeta.SetStatusCondition(&kubewarden.Status.Conditions, condition)
	if progress.Reason == operatorv1alpha1.ReasonIssued {
		kubewarden.Status.CertificateProvider = operatorv1alpha1.CertificateProviderCertManager
	}
}
