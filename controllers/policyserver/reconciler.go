package policyserver

import (
	"context"

	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/apply"
	"github.com/kubewarden/kubewarden-operator/controllers/certs"
	"github.com/kubewarden/kubewarden-operator/controllers/configured"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
	"github.com/kubewarden/kubewarden-operator/controllers/upstream"
)

// Rights in the operator's own namespace. They include those that the replicas get, since
// nobody can grant what they do not have.
//
// +kubebuilder:rbac:groups="",namespace=kubewarden,resources=configmaps;secrets;services;serviceaccounts,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",namespace=kubewarden,resources=pods,verbs=get;list;watch
// +kubebuilder:rbac:groups=apps,namespace=kubewarden,resources=deployments,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=autoscaling,namespace=kubewarden,resources=horizontalpodautoscalers,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=networking.k8s.io,namespace=kubewarden,resources=networkpolicies,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=policy,namespace=kubewarden,resources=poddisruptionbudgets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,namespace=kubewarden,resources=roles;rolebindings,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=cert-manager.io,namespace=kubewarden,resources=issuers;certificates,verbs=get;list;watch;create;patch;delete

// Rights on the custom resource itself. controllers/stack creates the default one.
//
// +kubebuilder:rbac:groups=policies.kubewarden.io,resources=policyservers,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=policies.kubewarden.io,resources=policyservers/status,verbs=patch

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
	// Certificates moves issued pairs to where replicas find them.
	Certificates *certs.Certificates
	// Upstream knows whether upstream's controller runs, which keeps the reconciler from acting.
	Upstream *upstream.Observer
	// Recorder records transitions as Events.
	Recorder events.EventRecorder
	// Configured decodes what was written for the replicas; one serves all reconcilers.
	Configured *configured.Reader
	// Reports decodes replica reports; one serves all reconcilers.
	Reports *replicas.Reports
	// Render is what the operator knows of itself.
	Render render.Config
}

// Reconciler keeps the children and the status of PolicyServers.
type Reconciler struct{ Config }

// NewReconciler returns the reconciler of PolicyServers.
func NewReconciler(config Config) *Reconciler { return &Reconciler{Config: config} }

// Reconcile brings the children of one PolicyServer to what its spec and its policies ask
// for, and its status to what came of it.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (_ ctrl.Result, err error) {
	server := &policiesv1.PolicyServer{}
	if err := r.Client.Get(ctx, request.NamespacedName, server); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	state := newState(server)
	defer func() { err = r.writeStatus(ctx, state, err) }()
	if err := r.observe(ctx, state); err != nil {
		return ctrl.Result{}, err
	}
	switch {
	case !server.DeletionTimestamp.IsZero():
		return ctrl.Result{}, r.delete(ctx, state)
	case state.kubewarden == nil:
		return ctrl.Result{}, nil
	case !state.kubewarden.DeletionTimestamp.IsZero():
		return ctrl.Result{}, r.uninstall(ctx, state)
	}
	children, err := render.PolicyServer(state.input(r.Render))
	if err != nil {
		return ctrl.Result{}, reconcile.TerminalError(err)
	}
	err = r.apply(ctx, state, children)
	return state.result(), err
}
