package certs

import (
	"context"
	"strings"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// CustomResourceDefinitions of the kinds that cert-manager brings. They may come after
// the operator, and go.
const (
	DefinitionIssuers      = "issuers.cert-manager.io"
	DefinitionCertificates = "certificates.cert-manager.io"
)

// KubewardenForSecret asks for the next step with the authority when a Secret of it
// changed, in the operator's namespace.
func KubewardenForSecret(namespace string) handler.MapFunc {
	theKubewarden := []reconcile.Request{{NamespacedName: types.NamespacedName{Name: operatorv1alpha1.KubewardenName}}}
	return func(_ context.Context, secret client.Object) []reconcile.Request {
		if secret.GetNamespace() != namespace {
			return nil
		}
		if strings.HasPrefix(secret.GetName(), render.CertificateCA) {
			return theKubewarden
		}
		if _, issued := secret.GetAnnotations()[certmanagerv1.IssuerNameAnnotationKey]; issued {
			return theKubewarden // it may tell of another authority
		}
		for _, one := range render.Clients() {
			if secret.GetName() == one.Issued || secret.GetName() == one.Presented {
				return theKubewarden
			}
		}
		switch secret.GetName() {
		case render.BuiltInCA, render.BuiltInCANext, render.SecretCA, render.IssuerProbeName:
			return theKubewarden
		default:
			return nil
		}
	}
}

// ProviderChanged passes events after which somebody else may sign, or sign anew: SyncServer
// has something to do then.
func ProviderChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(event event.UpdateEvent) bool {
		before, _ := event.ObjectOld.(*operatorv1alpha1.Kubewarden)
		after, _ := event.ObjectNew.(*operatorv1alpha1.Kubewarden)
		return before != nil && after != nil && (recorded(before) != recorded(after) ||
			before.Annotations[operatorv1alpha1.AnnotationRekey] != after.Annotations[operatorv1alpha1.AnnotationRekey])
	}}
}

// PolicyServerForSecret asks for the next step with the pair of a policy server when the
// issued or the mounted Secret changed, in the operator's namespace.
func PolicyServerForSecret(namespace string) handler.MapFunc {
	return func(_ context.Context, secret client.Object) []reconcile.Request {
		server := secret.GetLabels()[render.LabelPolicyServer]
		if secret.GetNamespace() != namespace || server == "" {
			return nil
		}
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: server}}}
	}
}
