package policy

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/controllers/apply"
	"github.com/kubewarden/kubewarden-operator/controllers/configured"
	"github.com/kubewarden/kubewarden-operator/controllers/index"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
	"github.com/kubewarden/kubewarden-operator/controllers/upstream"
)

// Rights beside those of controllers/policyserver and controllers/stack.
//
// +kubebuilder:rbac:groups=policies.kubewarden.io,resources=clusteradmissionpolicies;clusteradmissionpolicygroups;admissionpolicies;admissionpolicygroups,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=policies.kubewarden.io,resources=clusteradmissionpolicies/status;clusteradmissionpolicygroups/status;admissionpolicies/status;admissionpolicygroups/status,verbs=patch
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingwebhookconfigurations;mutatingwebhookconfigurations,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create

// authority knows which certificates webhooks must trust.
type authority interface {
	// CABundle is in PEM; the error is certs.ErrNotPublished until there is one.
	CABundle(ctx context.Context) ([]byte, error)
}

// Config is what the reconcilers of policies work with.
type Config struct {
	// Client reads from the caches of the manager and writes status and finalizers.
	Client client.Client
	// Uncached reads from the API server.
	Uncached client.Reader
	// Applier writes webhook configurations.
	Applier *apply.Applier
	// Authority is controllers/certs.
	Authority authority
	// Upstream knows whether upstream's controller runs, which keeps the reconciler from acting.
	Upstream *upstream.Observer
	// Access is controllers/access.
	Access reviewer
	// Recorder records transitions as Events.
	Recorder events.EventRecorder
	// Configured decodes what was written for the replicas; one serves all reconcilers.
	Configured *configured.Reader
	// Reports decodes replica reports; one serves all reconcilers.
	Reports *replicas.Reports
	// Render is what the operator knows of itself.
	Render render.Config
	// Now is the clock.
	Now func() time.Time
}

// Reconciler keeps the webhook configuration and the status of the policies of one kind.
type Reconciler struct {
	Config
	kind index.PolicyKind
}

// NewReconciler returns the reconciler of one kind of policies.
func NewReconciler(kind index.PolicyKind, config Config) *Reconciler {
	return &Reconciler{Config: config, kind: kind}
}

// Reconcile brings the webhook configuration of one policy to what the policy, its
// PolicyServer and the replicas allow, and the policy's status to what came of it.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (_ ctrl.Result, err error) {
	policy := r.kind.New()
	if err := r.Client.Get(ctx, request.NamespacedName, policy); err != nil {
		if apierrors.IsNotFound(err) {
			return ctrl.Result{}, r.withdrawOrphan(ctx, request.NamespacedName)
		}
		return ctrl.Result{}, err
	}
	state, err := newState(policy)
	if err != nil {
		return ctrl.Result{}, err
	}
	defer func() { err = r.writeStatus(ctx, state, err) }()
	if !policy.GetDeletionTimestamp().IsZero() {
		return ctrl.Result{}, r.delete(ctx, state)
	}
	if err := r.observe(ctx, state); err != nil {
		return ctrl.Result{}, err
	}
	state.unreachable = state.untilReachable(r.Now())
	state.action = decide(state.situation())
	return ctrl.Result{RequeueAfter: state.after()}, r.act(ctx, state)
}
