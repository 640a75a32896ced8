package policyserver

import (
	"context"
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/apply"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/resource"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// apply writes the children, takes the next step with the certificate, and removes what is
// no longer wanted. What fails is noted by condition and does not keep the rest from being
// done. The finalizer comes before the first child.
func (r *Reconciler) apply(ctx context.Context, s *state, children []render.Object) error {
	if err := resource.AddFinalizer(ctx, r.Client, s.server, policiesv1.Finalizer); err != nil {
		return err
	}
	s.applied = true
	r.keepPriority(ctx, s, children)
	for _, child := range children {
		if s.rollout.wanted && s.failed[policiesv1.ConditionConfigMapReconciled] != nil && isDeployment(child) {
			continue // its Pods would read what was before, and count as having read this
		}
		s.note(conditionOf(child), r.Applier.Apply(ctx, s.server, child))
	}
	var err error
	s.certificate, err = r.Certificates.SyncServer(ctx, s.server, s.kubewarden)
	s.note(policiesv1.ConditionCertSecretReconciled, err)
	return errors.Join(s.failures(), r.prune(ctx, s, children), r.pruneReports(ctx, s))
}

func isDeployment(child render.Object) bool {
	_, is := child.(*appsv1.Deployment)
	return is
}

// note keeps an error for the condition that tells of it.
func (s *state) note(condition string, err error) {
	if err != nil {
		s.failed[condition] = errors.Join(s.failed[condition], err)
	}
}

func (s *state) failures() error {
	var all error
	for _, condition := range childConditions {
		all = errors.Join(all, s.failed[condition])
	}
	return all
}

// conditionOf names the condition that tells of a child. A Deployment cannot run without
// its account and rights, and is not to run without its NetworkPolicy, so it stands for them.
func conditionOf(child render.Object) string {
	switch child.(type) {
	case *corev1.ConfigMap:
		return policiesv1.ConditionConfigMapReconciled
	case *policyv1.PodDisruptionBudget:
		return policiesv1.ConditionPodDisruptionBudgetReconciled
	case *corev1.Service:
		return policiesv1.ConditionServiceReconciled
	default: // Deployment, ServiceAccount, Role, RoleBinding, NetworkPolicy
		return policiesv1.ConditionDeploymentReconciled
	}
}

// prune removes children that are no longer rendered.
func (r *Reconciler) prune(ctx context.Context, s *state, keep []render.Object) error {
	return r.Applier.Prune(ctx, r.scope(s, render.PolicyServerKinds()), keep...)
}

// scope is where children of some kinds are.
func (r *Reconciler) scope(s *state, kinds []schema.GroupVersionKind) apply.Scope {
	return apply.Scope{
		Owner:     s.server,
		Namespace: r.Render.Namespace,
		Labels:    render.PolicyServerLabels(s.server.Name),
		Kinds:     kinds,
	}
}

// pruneReports removes the reports of Pods that are gone. The caches of Pods and of the
// reports are not of the same moment, so the API server has the last word.
func (r *Reconciler) pruneReports(ctx context.Context, s *state) error {
	if s.rollout.wanted {
		return nil // the ConfigMap is not wanted any more, if it is there
	}
	var gone []string
	for _, replica := range s.reporting {
		known := slices.ContainsFunc(s.pods, func(pod corev1.Pod) bool { return pod.Name == replica })
		if known {
			continue
		}
		err := r.Uncached.Get(ctx, r.key(replica), &corev1.Pod{})
		if err == nil {
			continue
		}
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("get Pod %s: %w", replica, err)
		}
		gone = append(gone, replica)
	}
	return r.Applier.RemoveDataKeys(ctx, r.key(contract.ReportConfigMapName(s.server.Name)), gone...)
}
