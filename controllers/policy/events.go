package policy

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/resource"
)

// eventRecovered is the reason of the Event for a policy that is enforced again after it
// failed. All other Events bear the reason of the Ready condition.
const eventRecovered = "Recovered"

// passing are reasons that every policy goes through on its way, and that are no news.
var passing = []string{
	policiesv1.ReasonLoading,
	policiesv1.ReasonPolicyServerNotReady,
	policiesv1.ReasonWaitingForCertificate,
	policiesv1.ReasonPolicyServerNotFound,
	policiesv1.ReasonWebhookFailed,
	policiesv1.ReasonReconciliationFailed,
	policiesv1.ReasonDeleting,
}

// transition is an Event that a change of the Ready condition is worth.
type transition struct{ kind, reason, message string }

// transitionOf compares the status before and after a reconcile; nil means that nothing
// happened that a user has to know.
func transitionOf(before, after *policiesv1.PolicyStatus) *transition {
	was := apimeta.FindStatusCondition(before.Conditions, policiesv1.ConditionReady)
	is := apimeta.FindStatusCondition(after.Conditions, policiesv1.ConditionReady)
	switch {
	case is == nil || is.Reason == policiesv1.ReasonDeleting:
		return nil
	case was == nil:
		was = &metav1.Condition{Status: metav1.ConditionUnknown, Reason: policiesv1.ReasonLoading}
	case was.Status == is.Status && was.Reason == is.Reason && was.ObservedGeneration == is.ObservedGeneration:
		return nil
	}
	if is.Status == metav1.ConditionTrue {
		return enforcedAgain(was, is, sameService(before, after))
	}
	lost := was.Status == metav1.ConditionTrue && is.Reason != policiesv1.ReasonLoading
	if slices.Contains(passing, is.Reason) && !lost {
		return nil
	}
	return &transition{kind: corev1.EventTypeWarning, reason: is.Reason, message: is.Message}
}

// enforcedAgain is the Event for a policy that is enforced now. It is none when all that
// happened is that a further replica came, or was heard of a moment late.
func enforcedAgain(was, is *metav1.Condition, sameService bool) *transition {
	reason := is.Reason
	switch {
	case was.Status == metav1.ConditionTrue, was.Reason == policiesv1.ReasonLoading && sameService:
		return nil
	case !slices.Contains(passing, was.Reason):
		reason = eventRecovered
	}
	return &transition{kind: corev1.EventTypeNormal, reason: reason, message: is.Message}
}

// sameService says whether the policy was active with the one revision that is served now.
func sameService(before, after *policiesv1.PolicyStatus) bool {
	return before.PolicyStatus == policiesv1.PolicyStateActive &&
		len(before.Served) == 1 && len(after.Served) == 1 &&
		before.Served[0].Revision == after.Served[0].Revision
}

func (r *Reconciler) recordTransition(s *state) {
	before, after := s.original.GetStatus(), s.policy.GetStatus()
	for action, event := range map[string]*transition{
		"Enforce": transitionOf(before, after), "ReadContext": contextTransitionOf(before, after),
	} {
		if event != nil {
			r.Recorder.Eventf(s.policy, nil, event.kind, event.reason, action, "%s", resource.Note(event.message))
		}
	}
}
