package selfmanaged

import (
	"context"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/resource"
)

// SetupWithManager makes the manager call Reconcile when the configuration or one of the
// Secrets changes. The caches of the manager hold the configurations that the operator made,
// and this one came with the installation, so it has a cache of its own.
func (r *Reconciler) SetupWithManager(manager ctrl.Manager, options controller.Options) error {
	beside, err := cluster.New(manager.GetConfig(), func(options *cluster.Options) {
		options.Scheme = manager.GetScheme()
		options.Logger = manager.GetLogger()
		options.Cache = cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(),
			ByObject: map[client.Object]cache.ByObject{
				&admissionregistrationv1.ValidatingWebhookConfiguration{}: {
					Field: fields.OneTermEqualSelector("metadata.name", render.OwnWebhooks),
				},
			},
		}
	})
	if err != nil {
		return fmt.Errorf("make the cache of the operator's own webhooks: %w", err)
	}
	if err := manager.Add(beside); err != nil {
		return fmt.Errorf("add the cache of the operator's own webhooks: %w", err)
	}
	r.configurations = beside.GetCache()
	err = ctrl.NewControllerManagedBy(manager).
		Named("ownwebhooks").
		WithOptions(options).
		WatchesRawSource(source.Kind[client.Object](beside.GetCache(), &admissionregistrationv1.ValidatingWebhookConfiguration{},
			handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request { return theConfiguration() }))).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.configurationForSecret)).
		Complete(resource.CalmConflicts(r))
	if err != nil {
		return fmt.Errorf("set up the controller of the operator's own webhooks: %w", err)
	}
	return nil
}

func theConfiguration() []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: render.OwnWebhooks}}}
}

// configurationForSecret asks for the next step when a Secret of the own webhooks changed.
func (r *Reconciler) configurationForSecret(_ context.Context, object client.Object) []reconcile.Request {
	secret, ok := object.(*corev1.Secret)
	if !ok || !r.Certificates.IsOwnWebhookSecret(secret) {
		return nil
	}
	return theConfiguration()
}
