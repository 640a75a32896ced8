package policy

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/resource"
)

// act does what was decided.
func (r *Reconciler) act(ctx context.Context, s *state) error {
	switch s.action {
	case actionWithdraw:
		return r.withdraw(ctx, s)
	case actionWrite:
		return r.writeCurrent(ctx, s)
	case actionKeep:
		former := s.former
		relax(former.GetAdmissionSpec(), s.policy.GetAdmissionSpec())
		return r.write(ctx, s, former)
	case actionLeave, actionWait:
		return nil
	}
	return fmt.Errorf("unknown action %d", s.action)
}

// writeCurrent writes the webhook that the current generation asks for. When
// spec.mutating was flipped, that is a configuration of another kind, and the former one
// goes only once the new one exists.
func (r *Reconciler) writeCurrent(ctx context.Context, s *state) error {
	if err := r.write(ctx, s, s.policy); err != nil {
		return err
	}
	s.current = true
	if s.standing.unwanted != nil {
		if err := r.Applier.Delete(ctx, nil, s.standing.unwanted); err != nil {
			return err
		}
	}
	return r.removeUpstreams(ctx, s)
}

// removeUpstreams removes what upstream made for the policy beside the one configuration
// that was taken over: of former names, and of the other kind, which upstream leaves behind.
func (r *Reconciler) removeUpstreams(ctx context.Context, s *state) error {
	webhooks, err := r.Upstream.WebhooksOf(ctx, s.policy)
	if err != nil {
		return err
	}
	wanted, _, err := render.Webhooks(s.policy)
	if err != nil {
		return err
	}
	// The cache may not know yet that this one is ours.
	taken := func(webhook client.Object) bool {
		return webhook.GetName() == wanted.GetName() && reflect.TypeOf(webhook) == reflect.TypeOf(wanted)
	}
	return r.Applier.DeleteUpstreams(ctx, slices.DeleteFunc(webhooks, taken)...)
}

// write writes the webhook that a policy asks for, which is the current one or what is
// known of a former generation. The finalizer comes first: without it the policy could
// go and leave the webhook behind.
func (r *Reconciler) write(ctx context.Context, s *state, policy policiesv1.Policy) error {
	webhook, err := render.Webhook(render.WebhookInput{
		Config:       r.Render,
		Installation: render.NewInstallation(s.kubewarden),
		Policy:       policy,
		CABundle:     s.caBundle,
	})
	if err != nil {
		return reconcile.TerminalError(err)
	}
	entryHash := s.entryHash
	if policy != s.policy {
		entryHash = s.standing.any().GetAnnotations()[annotationEntry]
	}
	if err := record(webhook, policy, entryHash); err != nil {
		return reconcile.TerminalError(err)
	}
	if err := resource.AddFinalizer(ctx, r.Client, s.policy, policiesv1.Finalizer); err != nil {
		return err
	}
	err = r.Applier.Apply(ctx, nil, webhook)
	if apierrors.IsInvalid(err) {
		// The API server refuses what the policy asks for, such as a match condition that
		// does not compile. Only a change of the policy can help.
		return reconcile.TerminalError(err)
	}
	if err != nil {
		return err
	}
	s.stands = true
	return nil
}

// withdraw removes the webhooks of a policy, then its finalizers: a policy without the
// finalizer has no webhook.
func (r *Reconciler) withdraw(ctx context.Context, s *state) error {
	wanted, unwanted, err := render.Webhooks(s.policy)
	if err != nil {
		return err
	}
	if s.stands || len(s.policy.GetFinalizers()) > 0 {
		if err := r.Applier.Delete(ctx, nil, wanted, unwanted); err != nil {
			return err
		}
	}
	s.stands = false
	upstreams, err := r.Upstream.WebhooksOf(ctx, s.policy)
	if err != nil {
		return err
	}
	if err := r.Applier.DeleteUpstreams(ctx, upstreams...); err != nil {
		return err
	}
	return resource.RemoveFinalizers(ctx, r.Client, s.policy, policiesv1.Finalizer, policiesv1.FinalizerLegacy)
}

// delete takes leave of a policy that is being deleted. It does not ask whether there is
// an installation: no policy may become undeletable.
func (r *Reconciler) delete(ctx context.Context, s *state) error {
	s.action, s.stands = actionWithdraw, true
	return r.withdraw(ctx, s)
}

// withdrawOrphan removes the webhook of a policy that went without its finalizer being
// heeded: somebody took it off by hand.
func (r *Reconciler) withdrawOrphan(ctx context.Context, name types.NamespacedName) error {
	policy := r.kind.New()
	policy.SetNamespace(name.Namespace)
	policy.SetName(name.Name)
	s := &state{policy: policy}
	if err := r.observeWebhooks(ctx, s); err != nil || !s.stands {
		return err
	}
	err := r.Uncached.Get(ctx, name, r.kind.New())
	if !apierrors.IsNotFound(err) {
		return err
	}
	ctrl.LoggerFrom(ctx).Info("Removing the webhook of a policy that is gone", "policy", name)
	wanted, unwanted, err := render.Webhooks(policy)
	if err != nil {
		return err
	}
	return r.Applier.Delete(ctx, nil, wanted, unwanted)
}
