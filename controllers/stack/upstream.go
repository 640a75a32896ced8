package stack

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/resource"
)

// Bystander tells, on the Kubewarden, that upstream's controller runs, which keeps every
// other reconciler from acting. Each replica of the operator has one, leader or not: in the
// operator's namespace upstream's controller holds the very Lease that makes a leader.
type Bystander struct{ Config }

// NewBystander returns the reconciler that tells of upstream's controller.
func NewBystander(config Config) *Bystander { return &Bystander{Config: config} }

// SetupWithManager makes the manager call Reconcile when upstream's controller comes or
// goes, and when there is somebody to be told.
func (b *Bystander) SetupWithManager(manager ctrl.Manager, options controller.Options) error {
	options.NeedLeaderElection = new(false)
	controllerBuilder := ctrl.NewControllerManagedBy(manager).
		Named("upstream").
		WithOptions(options).
		For(&operatorv1alpha1.Kubewarden{})
	for _, source := range b.Upstream.Sources(handler.EnqueueRequestsFromMapFunc(theKubewarden)) {
		controllerBuilder = controllerBuilder.WatchesRawSource(source)
	}
	if err := controllerBuilder.Complete(resource.CalmConflicts(b)); err != nil {
		return fmt.Errorf("set up the controller that tells of upstream's: %w", err)
	}
	return nil
}

// Reconcile sets Ready and Degraded while upstream's controller runs. What they become
// afterwards is for the reconciler of the Kubewarden to say.
func (b *Bystander) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	running, err := b.Upstream.Running(ctx)
	if err != nil || running == "" {
		return ctrl.Result{}, err
	}
	kubewarden := &operatorv1alpha1.Kubewarden{}
	if err := b.Client.Get(ctx, request.NamespacedName, kubewarden); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	s := newState(kubewarden)
	setUpstreamRunning(s, running)
	written, err := resource.PatchStatus(ctx, b.Client, resource.Change{Original: s.original, Changed: s.kubewarden}, nil)
	if written {
		(&Reconciler{Config: b.Config}).recordTransition(s)
	}
	return ctrl.Result{}, err
}

// setUpstreamRunning says what runs, and that nothing is done meanwhile. The rest of the
// status stays what it was when it was last looked at.
func setUpstreamRunning(s *state, running string) {
	message := "upstream's controller runs, and this operator writes nothing until it is gone, whose work stays as it is: " + running +
		"; what upstream made is then taken over in place, and custom resources are kept"
	s.kubewarden.Status.ObservedGeneration = s.kubewarden.Generation
	for kind, status := range map[string]metav1.ConditionStatus{
		operatorv1alpha1.ConditionReady:    metav1.ConditionFalse,
		operatorv1alpha1.ConditionDegraded: metav1.ConditionTrue,
	} {
		s.setCondition(metav1.Condition{
			Type: kind, Status: status, Reason: operatorv1alpha1.ReasonUpstreamControllerRunning, Message: message,
		})
	}
}

// removeAbandonedWebhooks removes those through which API servers ask upstream's controller
// about the custom resources. It does not run, and they fail closed: with them no finalizer
// could be written, nor could a user change a policy. The operator's own checks, and those
// of the schemas, stand in their place.
func (r *Reconciler) removeAbandonedWebhooks(ctx context.Context) error {
	abandoned, err := r.Upstream.Abandoned(ctx)
	if err != nil {
		return err
	}
	for _, webhook := range abandoned {
		ctrl.LoggerFrom(ctx).Info("Removing a webhook that nobody answers any more", "webhook", webhook.GetName())
	}
	return r.Applier.DeleteUpstreams(ctx, abandoned...)
}
