package policy

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/resource"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// writeStatus computes the status from what the reconcile has seen and done, on success
// and on error, and writes it when it changed. Events follow the write, so that a
// transition is told once.
func (r *Reconciler) writeStatus(ctx context.Context, s *state, cause error) error {
	if apierrors.IsConflict(cause) {
		// Something moved while it was looked at; the next reconcile knows more.
		return cause
	}
	setStatus(s, cause)
	written, err := resource.PatchStatus(ctx, r.Client, resource.Change{Original: s.original, Changed: s.policy}, cause)
	if written {
		r.recordTransition(s)
	}
	return err
}

// setStatus is the whole status as a function of the state.
func setStatus(s *state, cause error) {
	status := s.policy.GetStatus()
	status.ObservedGeneration = s.policy.GetGeneration()
	observed := cause == nil && s.policy.GetDeletionTimestamp().IsZero()
	if observed {
		setContextReadable(s)
	}
	verdict := s.verdict(cause)
	if observed {
		setPolicyStatus(s)
		setMode(s)
		setReplicas(s)
		setPolicyActive(s, verdict)
		setUniquelyReachable(s)
		setConfigurationUpToDate(s)
	}
	if status.PolicyStatus == "" {
		status.PolicyStatus = policiesv1.PolicyStateScheduled
	}
	setReady(s, verdict)
}

func setPolicyStatus(s *state) {
	status := s.policy.GetStatus()
	switch {
	case s.stands:
		status.PolicyStatus = policiesv1.PolicyStateActive
	case s.server == nil || !s.server.DeletionTimestamp.IsZero():
		status.PolicyStatus = policiesv1.PolicyStateScheduled
	default:
		status.PolicyStatus = policiesv1.PolicyStatePending
	}
}

// setMode tells the mode that every ready replica enforces. While they do not agree, or
// serve an older revision, it stays what they last agreed on.
func setMode(s *state) {
	status := s.policy.GetStatus()
	switch {
	case s.enforced():
		status.Mode = policiesv1.ObservedMode(s.policy.GetMode())
	case s.replicas.Serving == 0 && s.replicas.Ready > 0, s.server == nil, status.Mode == "":
		status.Mode = policiesv1.ObservedModeUnknown
	}
}

func setReplicas(s *state) {
	status := s.policy.GetStatus()
	status.Replicas, status.ModuleDigest, status.Served = nil, "", nil
	if s.server == nil {
		return
	}
	status.Replicas = &policiesv1.PolicyReplicas{
		Ready:     s.replicas.Ready,
		Enforcing: s.replicas.Enforcing,
	}
	seen := map[string]bool{}
	for _, revision := range s.replicas.Served {
		if seen[revision.Revision] {
			continue // the list is keyed by revision; equal ones of two modules do not occur
		}
		seen[revision.Revision] = true
		status.Served = append(status.Served, policiesv1.ServedRevision{
			Revision:     revision.Revision,
			ModuleDigest: s.digest(revision.ModuleDigest),
			Replicas:     revision.Replicas,
		})
	}
	if len(status.Served) > 0 {
		status.ModuleDigest = status.Served[0].ModuleDigest
	}
}

// digest is a digest that replicas reported, which are the first digits, with all of them if
// it is the one that the entry pins.
func (s *state) digest(hex string) string {
	if hex == "" {
		return ""
	}
	if pinned := s.entry.PinnedDigest(); contract.ShortDigest(pinned) == hex {
		return pinned
	}
	return "sha256:" + hex
}

// The first sentence of these messages is upstream's (policy_controller.go).

func setPolicyActive(s *state, verdict verdict) {
	condition := metav1.Condition{
		Type:    policiesv1.ConditionPolicyActive,
		Status:  metav1.ConditionFalse,
		Reason:  policiesv1.ReasonPolicyActive,
		Message: "The policy webhook has not been created: " + verdict.message,
	}
	switch {
	case s.stands && s.current && s.enforced():
		condition.Status = metav1.ConditionTrue
		condition.Message = "The policy webhook has been created: " + s.counts()
	case s.stands:
		condition.Message = "The policy webhook has been created, and the policy is not in force as its spec says: " + verdict.message
	}
	setCondition(s, condition)
}

func setUniquelyReachable(s *state) {
	condition := metav1.Condition{
		Type:    policiesv1.ConditionPolicyUniquelyReachable,
		Status:  metav1.ConditionFalse,
		Reason:  policiesv1.ReasonLatestReplicaSetNotUniquelyReachable,
		Message: "The latest replica set is not uniquely reachable: " + s.counts(),
	}
	if s.enforced() {
		condition.Status = metav1.ConditionTrue
		condition.Reason = policiesv1.ReasonLatestReplicaSetIsUniquelyReachable
		condition.Message = "The latest replica set is uniquely reachable: " + s.counts()
	}
	setCondition(s, condition)
}

// setConfigurationUpToDate tells whether the ready replicas have dealt with the policy as
// its spec says: each either enforces it or refused it.
func setConfigurationUpToDate(s *state) {
	condition := metav1.Condition{
		Type:   policiesv1.ConditionPolicyServerConfigurationUpToDate,
		Status: metav1.ConditionFalse,
	}
	switch {
	case s.replicas.Ready == 0:
		condition.Reason = policiesv1.ReasonUnknownConfigurationVersion
		condition.Message = "Configuration for this policy is unknown: no replica is ready"
	case s.replicas.Enforcing+s.replicas.Refusing < s.replicas.Ready, s.replicas.Lingering > 0:
		condition.Reason = policiesv1.ReasonConfigurationVersionMismatch
		condition.Message = "Configuration for this policy is not up to date: " + s.counts()
	default:
		condition.Status = metav1.ConditionTrue
		condition.Reason = policiesv1.ReasonConfigurationVersionMatch
		condition.Message = "Configuration for this policy is up to date"
	}
	setCondition(s, condition)
}

func setReady(s *state, verdict verdict) {
	setCondition(s, metav1.Condition{
		Type:    policiesv1.ConditionReady,
		Status:  verdict.status,
		Reason:  verdict.reason,
		Message: verdict.message,
	})
}

func setCondition(s *state, condition metav1.Condition) {
	condition.ObservedGeneration = s.policy.GetGeneration()
	apimeta.SetStatusCondition(&s.policy.GetStatus().Conditions, condition)
}

// enforced says whether every ready replica, of which there is one, enforces the policy as
// its spec says, and no other answers any more.
func (s *state) enforced() bool {
	return s.replicas.Ready > 0 && s.replicas.Enforcing == s.replicas.Ready && s.replicas.Lingering == 0
}
