package policy

import (
	"context"
	"fmt"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/index"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
	"github.com/kubewarden/kubewarden-operator/controllers/resource"
)

// SetupWithManager makes the manager call Reconcile for a policy when anything changes
// that its webhook or its status depends on.
func (r *Reconciler) SetupWithManager(manager ctrl.Manager, options controller.Options) error {
	changed := builder.WithPredicates(predicate.GenerationChangedPredicate{})
	webhook := handler.EnqueueRequestsFromMapFunc(r.policyForWebhook)
	err := ctrl.NewControllerManagedBy(manager).
		Named(strings.ToLower(r.kind.Name)).
		WithOptions(options).
		For(r.kind.New()).
		Watches(&admissionregistrationv1.ValidatingWebhookConfiguration{}, webhook).
		Watches(&admissionregistrationv1.MutatingWebhookConfiguration{}, webhook).
		Watches(&operatorv1alpha1.Kubewarden{}, handler.EnqueueRequestsFromMapFunc(r.everyPolicy), changed).
		Watches(&policiesv1.PolicyServer{}, handler.EnqueueRequestsFromMapFunc(r.policiesOfServer), changed).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(r.policiesForPod), builder.WithPredicates(replicas.StandingChanged())).
		Watches(&corev1.ConfigMap{}, r.configMapHandler()).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.policiesForAuthority)).
		Complete(r.Upstream.Hold(resource.CalmConflicts(r)))
	if err != nil {
		return fmt.Errorf("set up the controller of %s: %w", r.kind.Name, err)
	}
	return nil
}

// policyForWebhook leads from a webhook configuration to its policy, if it is of this kind.
// The name alone counts: whoever damages the annotations must not hide a webhook whose
// policy is gone.
func (r *Reconciler) policyForWebhook(_ context.Context, webhook client.Object) []reconcile.Request {
	namespace, name, ok := render.PolicyOf(r.kind.New(), webhook.GetName())
	if !ok {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}}
}

func (r *Reconciler) everyPolicy(ctx context.Context, _ client.Object) []reconcile.Request {
	return r.requests(ctx)
}

func (r *Reconciler) policiesOfServer(ctx context.Context, server client.Object) []reconcile.Request {
	return r.requests(ctx, index.BoundTo(server.GetName()))
}

func (r *Reconciler) policiesForPod(ctx context.Context, pod client.Object) []reconcile.Request {
	return r.requests(ctx, index.BoundTo(pod.GetLabels()[render.LabelPolicyServer]))
}

func (r *Reconciler) policiesForAuthority(ctx context.Context, secret client.Object) []reconcile.Request {
	if secret.GetName() != render.SecretCA {
		return nil
	}
	return r.requests(ctx)
}

func (r *Reconciler) requests(ctx context.Context, options ...client.ListOption) []reconcile.Request {
	policies, err := r.kind.List(ctx, r.Client, options...)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Could not find the policies that an event concerns", "kind", r.kind.Name)
		return nil
	}
	requests := make([]reconcile.Request, 0, len(policies))
	for _, policy := range policies {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(policy)})
	}
	return requests
}
