package stack

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/apply"
	"github.com/kubewarden/kubewarden-operator/controllers/certs"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/resource"
	"github.com/kubewarden/kubewarden-operator/controllers/upstream"
)

// Rights on the one Kubewarden and on the one PolicyServer that is made by the operator. To
// create by name is possible because it is done by server-side apply.
//
// +kubebuilder:rbac:groups=operator.kubewarden.io,resources=kubewardens,verbs=get;list;watch
// +kubebuilder:rbac:groups=operator.kubewarden.io,resources=kubewardens,resourceNames=kubewarden,verbs=patch
// +kubebuilder:rbac:groups=operator.kubewarden.io,resources=kubewardens/status,resourceNames=kubewarden,verbs=patch
// +kubebuilder:rbac:groups=policies.kubewarden.io,resources=policyservers,resourceNames=default,verbs=create;delete

// Config is what the reconciler works with.
type Config struct {
	// Client reads from the caches of the manager and writes status and finalizers.
	Client client.Client
	// Uncached reads from the API server.
	Uncached client.Reader
	// Cache is where watches on optional kinds begin.
	Cache cache.Cache
	// Applier writes children.
	Applier *apply.Applier
	// Certificates keeps the certificate authority.
	Certificates *certs.Certificates
	// Upstream knows whether upstream's controller runs, which keeps the reconciler from acting.
	Upstream *upstream.Observer
	// Recorder records transitions as Events.
	Recorder events.EventRecorder
	// Render is what the operator knows of itself.
	Render render.Config
}

// Reconciler keeps the children and the status of the Kubewarden.
type Reconciler struct{ Config }

// NewReconciler returns the reconciler of the Kubewarden.
func NewReconciler(config Config) *Reconciler { return &Reconciler{Config: config} }

// Reconcile brings the installation to what the Kubewarden asks for.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (_ ctrl.Result, err error) {
	kubewarden := &operatorv1alpha1.Kubewarden{}
	if err := r.Client.Get(ctx, request.NamespacedName, kubewarden); err != nil {
		if apierrors.IsNotFound(err) {
			return ctrl.Result{}, r.withdrawOrphans(ctx, request.NamespacedName)
		}
		return ctrl.Result{}, err
	}
	state := newState(kubewarden)
	defer func() { err = r.writeStatus(ctx, state, err) }()
	if err := r.observe(ctx, state); err != nil {
		return ctrl.Result{}, err
	}
	if !kubewarden.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, r.delete(ctx, state)
	}
	if err := r.removeAbandonedWebhooks(ctx); err != nil {
		return ctrl.Result{}, err
	}
	if err := resource.AddFinalizer(ctx, r.Client, kubewarden, operatorv1alpha1.Finalizer); err != nil {
		return ctrl.Result{}, err
	}
	err = errors.Join(
		r.syncAuthority(ctx, state),
		r.syncClients(ctx, state),
		r.observeMutualTLS(ctx, state),
		r.syncExpiry(ctx, state),
		r.applyDefaultPolicyServer(ctx, state),
		r.syncContext(ctx, state),
		r.syncAudit(ctx, state),
		r.syncRecommended(ctx, state),
		r.syncMonitoring(ctx, state),
	)
	return ctrl.Result{RequeueAfter: state.authority.After}, err
}
