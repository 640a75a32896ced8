package stack

import (
	"context"
	"fmt"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
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

// SetupWithManager makes the manager call Reconcile for the Kubewarden when anything
// changes that it sums up, and once at start, when there may be none.
func (r *Reconciler) SetupWithManager(manager ctrl.Manager, options controller.Options) error {
	theKubewarden := handler.EnqueueRequestsFromMapFunc(theKubewarden)
	gone := builder.WithPredicates(predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(event.UpdateEvent) bool { return false },
	})
	controllerBuilder := ctrl.NewControllerManagedBy(manager).
		Named("kubewarden").
		WithOptions(options).
		For(&operatorv1alpha1.Kubewarden{}).
		Watches(&policiesv1.PolicyServer{}, theKubewarden).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(certs.KubewardenForSecret(r.Render.Namespace))).
		Watches(&appsv1.Deployment{}, theKubewarden, gone).
		Watches(&admissionregistrationv1.ValidatingWebhookConfiguration{}, theKubewarden, gone).
		Watches(&admissionregistrationv1.MutatingWebhookConfiguration{}, theKubewarden, gone).
		Owns(&batchv1.CronJob{}).
		Owns(&corev1.ConfigMap{}).
		Owns(&rbacv1.Role{}).
		Owns(&rbacv1.RoleBinding{}).
		Owns(&rbacv1.ClusterRoleBinding{}).
		// Those of policy servers, too: once there, they may read what policies read.
		Watches(&corev1.ServiceAccount{}, theKubewarden).
		Watches(&batchv1.Job{}, theKubewarden).
		Watches(&apiextensionsv1.CustomResourceDefinition{}, theKubewarden,
			builder.WithPredicates(predicate.NewPredicateFuncs(isReportDefinition))).
		WatchesRawSource(r.optional(manager, &certmanagerv1.Issuer{}, certs.DefinitionIssuers)).
		WatchesRawSource(r.optional(manager, &certmanagerv1.Certificate{}, certs.DefinitionCertificates)).
		WatchesRawSource(r.optional(manager, untyped(render.KindServiceMonitor), definitionServiceMonitors)).
		WatchesRawSource(r.optional(manager, untyped(render.KindPrometheusRule), definitionPrometheusRules)).
		WatchesRawSource(atStart{})
	for _, kind := range index.PolicyKinds() {
		controllerBuilder = controllerBuilder.Watches(kind.New(), theKubewarden)
	}
	for _, source := range r.Upstream.Sources(theKubewarden) {
		controllerBuilder = controllerBuilder.WatchesRawSource(source)
	}
	if err := controllerBuilder.Complete(r.Upstream.Hold(resource.CalmConflicts(r))); err != nil {
		return fmt.Errorf("set up the controller of the Kubewarden: %w", err)
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
			&operatorv1alpha1.Kubewarden{}, handler.OnlyControllerOwner()),
		Affected: func(context.Context) []reconcile.Request { return requests() },
	}
}

func requests() []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: operatorv1alpha1.KubewardenName}}}
}

func theKubewarden(context.Context, client.Object) []reconcile.Request { return requests() }

// queue is the queue of the reconciler.
type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// atStart is the event that the operator began to work. No object causes it, and it
// matters most when there is no Kubewarden.
type atStart struct{}

// String names the source in logs.
func (atStart) String() string { return "start of the operator" }

// Start adds the one request.
func (atStart) Start(_ context.Context, queue queue) error {
	for _, request := range requests() {
		queue.Add(request)
	}
	return nil
}
