package policyserver

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/resource"
)

// To create by name is possible because it is done by server-side apply; list and watch are
// of the one object.
//
// +kubebuilder:rbac:groups=scheduling.k8s.io,resources=priorityclasses,resourceNames=kubewarden-critical,verbs=list;watch;create;patch

// priorityDelay is how soon to try again to make the priority class, after somebody forbade it.
const priorityDelay = time.Minute

// observePriority notes whether the priority class that Pods have by default is there. The
// API server makes no Pod of a class that is not.
func (r *Reconciler) observePriority(ctx context.Context, s *state) error {
	err := r.Client.Get(ctx, client.ObjectKey{Name: render.PriorityClassName}, &schedulingv1.PriorityClass{})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("get PriorityClass %s: %w", render.PriorityClassName, err)
	}
	s.classMissing = apierrors.IsNotFound(err)
	return nil
}

// keepPriority puts back the priority class that the Pods are to have, where somebody deleted
// it or never installed it. Where that is forbidden, the Pods do without: a server of no
// priority is better than none.
func (r *Reconciler) keepPriority(ctx context.Context, s *state, children []render.Object) {
	if !s.classMissing {
		return
	}
	for _, child := range children {
		deployment, is := child.(*appsv1.Deployment)
		if !is || deployment.Spec.Template.Spec.PriorityClassName != render.PriorityClassName {
			continue
		}
		if err := r.Applier.CreateByName(ctx, render.PriorityClass()); err != nil {
			s.withoutPriority = resource.Text(err)
			deployment.Spec.Template.Spec.PriorityClassName = ""
		}
	}
}
