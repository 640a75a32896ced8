package stack

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/resource"
)

// delete lets the Kubewarden go once everything that it enforced is taken down. The
// reconcilers of policies and PolicyServers do that, each for its own objects, as soon as
// they see the deletion; every object that goes wakes this one. What the Kubewarden owns,
// such as the default PolicyServer and the certificate authority, goes after it.
//
// The audit scanner goes first: a scan that found no active policy would remove all reports,
// and they are to stay. What policies may read they may until no webhook calls them.
func (r *Reconciler) delete(ctx context.Context, s *state) error {
	if err := errors.Join(r.pruneAudit(ctx, s), r.pruneRecommended(ctx, s)); err != nil {
		return err
	}
	if s.remains() != "" {
		return nil
	}
	if err := r.withdrawContext(ctx, s); err != nil {
		return err
	}
	return resource.RemoveFinalizers(ctx, r.Client, s.kubewarden, operatorv1alpha1.Finalizer)
}

// held counts the objects that still have one of our finalizers.
func held[T client.Object](objects []T) int {
	count := 0
	for _, object := range objects {
		if controllerutil.ContainsFinalizer(object, policiesv1.Finalizer) {
			count++
		}
	}
	return count
}

// withdrawOrphans removes the webhooks of a Kubewarden that went without its finalizer
// being heeded: somebody took it off by hand. They would refuse requests on behalf of an
// installation that nobody keeps any more. Absence counts only when the API server says so.
func (r *Reconciler) withdrawOrphans(ctx context.Context, name types.NamespacedName) error {
	err := r.Uncached.Get(ctx, name, &operatorv1alpha1.Kubewarden{})
	if !apierrors.IsNotFound(err) {
		return err
	}
	webhooks, err := r.webhooks(ctx, client.MatchingLabels(render.InstallationLabels(name.Name)))
	if err != nil {
		return err
	}
	log := ctrl.LoggerFrom(ctx)
	if len(webhooks) == 0 {
		log.Info("There is no Kubewarden: the operator does nothing until one is created")
	}
	for _, webhook := range webhooks {
		if webhook.GetAnnotations()[render.AnnotationInstallationUID] == "" {
			continue
		}
		log.Info("Removing a webhook of an installation that is gone", "webhook", webhook.GetName())
		uid := webhook.GetUID()
		err := r.Client.Delete(ctx, webhook, client.Preconditions{UID: &uid})
		if client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return nil
}
