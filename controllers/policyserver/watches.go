package policyserver

import (
	"context"
	"fmt"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/certs"
	"github.com/kubewarden/kubewarden-operator/controllers/index"
	"github.com/kubewarden/kubewarden-operator/controllers/optional"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/resource"
)

// SetupWithManager makes the manager call Reconcile for a PolicyServer when anything
// changes that its children or its status depend on.
func (r *Reconciler) SetupWithManager(manager ctrl.Manager, options controller.Options) error {
	installation := builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, certs.ProviderChanged()))
	webhook := handler.EnqueueRequestsFromMapFunc(r.serverForWebhook)
	controllerBuilder := ctrl.NewControllerManagedBy(manager).
		Named("policyserver").
		WithOptions(options).
		For(&policiesv1.PolicyServer{}).
		Owns(&appsv1.Deployment{}).
		Owns(&corev1.Service{}).
		Owns(&corev1.ConfigMap{}).
		Owns(&corev1.ServiceAccount{}).
		Owns(&rbacv1.Role{}).
		Owns(&rbacv1.RoleBinding{}).
		Owns(&policyv1.PodDisruptionBudget{}).
		Owns(&autoscalingv2.HorizontalPodAutoscaler{}, builder.WithPredicates(specChanged())).
		Owns(&networkingv1.NetworkPolicy{}).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.serversForSecret)).
		Watches(&schedulingv1.PriorityClass{}, handler.EnqueueRequestsFromMapFunc(r.everyServerFor)).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(serverByLabel)).
		Watches(&admissionregistrationv1.ValidatingWebhookConfiguration{}, webhook).
		Watches(&admissionregistrationv1.MutatingWebhookConfiguration{}, webhook).
		Watches(&operatorv1alpha1.Kubewarden{}, handler.EnqueueRequestsFromMapFunc(r.everyServerFor), installation).
		// Nothing is asked of cert-manager before both of its kinds are there, whichever is last.
		WatchesRawSource(r.optional(manager, &certmanagerv1.Certificate{}, certs.DefinitionCertificates)).
		WatchesRawSource(r.optional(manager, &certmanagerv1.Issuer{}, certs.DefinitionIssuers))
	// What of a policy goes into its entry is the spec and one annotation.
	entry := builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))
	for _, kind := range index.PolicyKinds() {
		controllerBuilder = controllerBuilder.Watches(kind.New(), handler.EnqueueRequestsFromMapFunc(serverOfPolicy), entry)
	}
	if err := controllerBuilder.Complete(r.Upstream.Hold(resource.CalmConflicts(r))); err != nil {
		return fmt.Errorf("set up the controller of PolicyServers: %w", err)
	}
	return nil
}

// optional is the source of events of a kind that the cluster may lack.
func (r *Reconciler) optional(manager ctrl.Manager, object client.Object, definition string) *optional.Source {
	return &optional.Source{
		Cache:      r.Cache,
		Client:     r.Client,
		Object:     object,
		Definition: definition,
		Handler: handler.EnqueueRequestForOwner(manager.GetScheme(), manager.GetRESTMapper(),
			&policiesv1.PolicyServer{}, handler.OnlyControllerOwner()),
		Affected: r.everyServer,
	}
}

// specChanged lets pass what changes of an autoscaler but its status, which is written
// several times a minute; it has no generation.
func specChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(update event.UpdateEvent) bool {
		before, wasOne := update.ObjectOld.(*autoscalingv2.HorizontalPodAutoscaler)
		after, isOne := update.ObjectNew.(*autoscalingv2.HorizontalPodAutoscaler)
		return !wasOne || !isOne || !equality.Semantic.DeepEqual(before.Spec, after.Spec) ||
			!equality.Semantic.DeepEqual(before.Labels, after.Labels) ||
			!equality.Semantic.DeepEqual(before.OwnerReferences, after.OwnerReferences)
	}}
}

func requestFor(server string) []reconcile.Request {
	if server == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: server}}}
}

func serverOfPolicy(_ context.Context, object client.Object) []reconcile.Request {
	policy, ok := object.(policiesv1.Policy)
	if !ok {
		return nil
	}
	return requestFor(policy.GetPolicyServer())
}

func serverByLabel(_ context.Context, object client.Object) []reconcile.Request {
	return requestFor(object.GetLabels()[render.LabelPolicyServer])
}

func (r *Reconciler) serverForWebhook(_ context.Context, webhook client.Object) []reconcile.Request {
	return requestFor(r.serverCalledBy(webhook))
}

// serversForSecret leads from a Secret to its server, and from that of the authority to
// all, since certificates wait for what it publishes.
func (r *Reconciler) serversForSecret(ctx context.Context, secret client.Object) []reconcile.Request {
	if secret.GetName() == render.SecretCA {
		return r.everyServer(ctx)
	}
	return certs.PolicyServerForSecret(r.Render.Namespace)(ctx, secret)
}

func (r *Reconciler) everyServerFor(ctx context.Context, _ client.Object) []reconcile.Request {
	return r.everyServer(ctx)
}

func (r *Reconciler) everyServer(ctx context.Context) []reconcile.Request {
	var servers policiesv1.PolicyServerList
	if err := r.Client.List(ctx, &servers); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Could not find the PolicyServers that an event concerns")
		return nil
	}
	var requests []reconcile.Request
	for i := range servers.Items {
		requests = append(requests, requestFor(servers.Items[i].Name)...)
	}
	return requests
}
