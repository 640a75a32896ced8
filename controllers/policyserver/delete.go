package policyserver

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/resource"
)

// delete lets a PolicyServer go once no webhook calls it: a webhook without a server would
// refuse what it guards. The reconcilers of its policies withdraw the webhooks, and each
// that goes wakes this one. Its children go with it, by their owner references; until then
// they keep serving.
func (r *Reconciler) delete(ctx context.Context, s *state) error {
	if len(s.webhooks) > 0 {
		return nil
	}
	return resource.RemoveFinalizers(ctx, r.Client, s.server, policiesv1.Finalizer, policiesv1.FinalizerLegacy)
}

// uninstall takes away what was made for a PolicyServer when the installation goes and the
// PolicyServer, which is the user's, stays. Webhooks go first here too.
func (r *Reconciler) uninstall(ctx context.Context, s *state) error {
	if len(s.webhooks) > 0 {
		return nil
	}
	if err := r.Certificates.WithdrawServer(ctx, s.server); err != nil {
		return err
	}
	kinds := append(render.PolicyServerKinds(), corev1.SchemeGroupVersion.WithKind("Secret"))
	if err := r.Applier.Prune(ctx, r.scope(s, kinds)); err != nil {
		return err
	}
	return resource.RemoveFinalizers(ctx, r.Client, s.server, policiesv1.Finalizer, policiesv1.FinalizerLegacy)
}
