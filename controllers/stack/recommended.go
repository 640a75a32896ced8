package stack

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/apply"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/resource"
)

// Rights on the six policies that are made by the operator.
//
// +kubebuilder:rbac:groups=policies.kubewarden.io,resources=clusteradmissionpolicies,resourceNames=no-privilege-escalation;no-host-namespace-sharing;no-privileged-pod;do-not-run-as-root;do-not-share-host-paths;drop-capabilities,verbs=create;delete

// recommended is what became of the recommended policies.
type recommended struct {
	// synced says that an attempt was made to write them, and failed holds what came of it.
	synced bool
	failed error
	// foreign are those whose name a policy has that somebody else made, and replacing
	// those that have to go before they can be made anew.
	foreign, replacing []string
}

// syncRecommended makes the recommended policies, or removes them when they are not wanted.
func (r *Reconciler) syncRecommended(ctx context.Context, s *state) error {
	s.recommended.synced = true
	wanted := render.RecommendedPolicies(s.kubewarden)
	keep := make([]render.Object, 0, len(wanted))
	for _, policy := range wanted {
		keep = append(keep, policy)
		s.recommended.failed = errors.Join(s.recommended.failed, r.applyRecommended(ctx, s, policy))
	}
	s.recommended.failed = errors.Join(s.recommended.failed, r.pruneRecommended(ctx, s, keep...))
	return s.recommended.failed
}

// applyRecommended makes one policy. No policy may go from protect to monitor, which is a
// rule for people; this one's mode is the Kubewarden's to choose, so it is replaced.
func (r *Reconciler) applyRecommended(ctx context.Context, s *state, policy *policiesv1.ClusterAdmissionPolicy) error {
	live := s.clusterPolicy(policy.Name)
	if live != nil && render.IsUpstreams(live) && live.GetMode() == policiesv1.PolicyModeProtect {
		// It becomes ours first as it is, and is treated as any other of ours then.
		policy.Spec.Mode = policiesv1.PolicyModeProtect
	}
	leaving := live != nil && !live.DeletionTimestamp.IsZero()
	loosened := live != nil && metav1.IsControlledBy(live, s.kubewarden) &&
		live.GetMode() == policiesv1.PolicyModeProtect && policy.GetMode() == policiesv1.PolicyModeMonitor
	if leaving || loosened {
		s.recommended.replacing = append(s.recommended.replacing, policy.Name)
		// Its end wakes this reconciler.
		return r.Applier.Delete(ctx, s.kubewarden, policy)
	}
	err := r.Applier.Apply(ctx, s.kubewarden, policy)
	if _, foreign := errors.AsType[*apply.ForeignError](err); foreign {
		s.recommended.foreign = append(s.recommended.foreign, policy.Name)
		return nil
	}
	return err
}

// clusterPolicy returns the ClusterAdmissionPolicy of that name, or nil.
func (s *state) clusterPolicy(name string) *policiesv1.ClusterAdmissionPolicy {
	for _, policy := range s.policies {
		if cluster, ok := policy.(*policiesv1.ClusterAdmissionPolicy); ok && cluster.Name == name {
			return cluster
		}
	}
	return nil
}

// pruneRecommended removes the policies that the operator made and that are not to be kept.
func (r *Reconciler) pruneRecommended(ctx context.Context, s *state, keep ...render.Object) error {
	return r.Applier.Prune(ctx, apply.Scope{
		Owner:  s.kubewarden,
		Labels: render.RecommendedPolicyLabels(s.kubewarden.Name),
		Kinds:  render.RecommendedPolicyKinds(),
	}, keep...)
}

// setRecommended tells of the recommended policies.
func setRecommended(s *state) {
	status := &s.kubewarden.Status
	status.RecommendedPolicies = nil
	if !s.kubewarden.DeletionTimestamp.IsZero() {
		apimeta.RemoveStatusCondition(&status.Conditions, operatorv1alpha1.ConditionRecommendedPoliciesApplied)
		return
	}
	wanted := render.RecommendedPolicies(s.kubewarden)
	if len(wanted) > 0 {
		status.RecommendedPolicies = s.countRecommended(wanted)
	}
	if !s.recommended.synced {
		return
	}
	condition := metav1.Condition{Type: operatorv1alpha1.ConditionRecommendedPoliciesApplied, Status: metav1.ConditionFalse}
	switch {
	case s.recommended.failed != nil:
		condition.Reason, condition.Message = operatorv1alpha1.ReasonReconciliationFailed, resource.Text(s.recommended.failed)
	case len(wanted) == 0:
		condition.Reason, condition.Message = operatorv1alpha1.ReasonDisabled, "spec.recommendedPolicies.enabled is false"
	case len(s.recommended.foreign) > 0:
		condition.Reason, condition.Message = operatorv1alpha1.ReasonForeignPolicies, s.foreignPolicies()
	case len(s.recommended.replacing) > 0:
		condition.Reason = operatorv1alpha1.ReasonReplacing
		condition.Message = "these policies are deleted and made anew, since no policy goes from protect to monitor: " +
			strings.Join(s.recommended.replacing, ", ")
	default:
		condition.Status, condition.Reason = metav1.ConditionTrue, operatorv1alpha1.ReasonApplied
		condition.Message = fmt.Sprintf("%d policies in mode %s", len(wanted), wanted[0].GetMode())
	}
	s.setCondition(condition)
}

// countRecommended counts the policies of ours.
func (s *state) countRecommended(wanted []*policiesv1.ClusterAdmissionPolicy) *operatorv1alpha1.PolicyCounts {
	counts := &operatorv1alpha1.PolicyCounts{}
	for _, policy := range wanted {
		live := s.clusterPolicy(policy.Name)
		if live == nil || !metav1.IsControlledBy(live, s.kubewarden) {
			continue
		}
		counts.Total++
		if live.Status.PolicyStatus == policiesv1.PolicyStateActive {
			counts.Active++
		}
	}
	return counts
}

func (s *state) foreignPolicies() string {
	return "policies with these names were not made by this operator and are left alone, rename or delete them: ClusterAdmissionPolicy " +
		strings.Join(s.recommended.foreign, ", ")
}
