package policy

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/access"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
	"github.com/kubewarden/kubewarden-operator/controllers/resource"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// reviewer knows what the accounts of policy servers may read.
type reviewer interface {
	Review(ctx context.Context, account types.NamespacedName, kinds []policiesv1.ContextAwareResource) access.Finding
}

// observeContext asks whether the policy server's account may read what the policy declares
// to read. Nothing is asked for a policy that nobody serves.
func (r *Reconciler) observeContext(ctx context.Context, s *state) {
	kinds := render.ContextAwareResources(s.policy)
	if len(kinds) == 0 || s.kubewarden == nil || s.server == nil {
		return
	}
	s.account = types.NamespacedName{Namespace: r.Render.Namespace, Name: render.ServiceAccountName(s.server)}
	s.context = new(r.Access.Review(ctx, s.account, kinds))
}

// after is when to look again though nothing happened; zero for never.
func (s *state) after() time.Duration {
	if s.context == nil || s.unreachable > 0 && s.unreachable < s.context.After {
		return s.unreachable
	}
	return s.context.After
}

// setContextReadable tells whether what the policy declares can be read. A lack that is new
// is told of once it has lasted, one that the status tells of already at once: an operator
// that has just started would forget it for a moment otherwise.
func setContextReadable(s *state) {
	conditions := &s.policy.GetStatus().Conditions
	if s.context == nil {
		apimeta.RemoveStatusCondition(conditions, policiesv1.ConditionContextReadable)
		return
	}
	condition := metav1.Condition{
		Type:   policiesv1.ConditionContextReadable,
		Status: metav1.ConditionFalse,
	}
	wrong := s.lacks()
	told := s.replicas.Unreadable
	switch {
	case wrong == "" && len(told) > 0:
		condition.Reason, condition.Message = unreadableReason(told[0].Reason), unreadable(told)
	case wrong == "" && s.context.Failed == nil:
		condition.Status, condition.Reason = metav1.ConditionTrue, policiesv1.ReasonRightsSuffice
		condition.Message = fmt.Sprintf("ServiceAccount %s may read what the policy declares", s.account)
	case wrong == "":
		condition.Status, condition.Reason = metav1.ConditionUnknown, policiesv1.ReasonRightsUnknown
		condition.Message = resource.Text(s.context.Failed)
	case s.context.Unsettled && !apimeta.IsStatusConditionFalse(*conditions, policiesv1.ConditionContextReadable):
		condition.Status, condition.Reason = metav1.ConditionUnknown, policiesv1.ReasonRightsUnknown
		condition.Message = "roles and bindings may be on their way: " + wrong
	case len(s.context.Lacks) > 0:
		condition.Reason, condition.Message = policiesv1.ReasonMissingRights, wrong
	default:
		condition.Reason, condition.Message = policiesv1.ReasonKindNotServed, wrong
	}
	setCondition(s, condition)
}

// unreadableReason is the reason of the condition for what a replica says.
func unreadableReason(told contract.UnreadableReason) string {
	switch told {
	case contract.UnreadableNoRoom:
		return policiesv1.ReasonNoRoomForObjects
	case contract.UnreadableNotServed:
		return policiesv1.ReasonKindNotServed
	case contract.UnreadableForbidden:
		return policiesv1.ReasonMissingRights
	default: // of a later contract
		return policiesv1.ReasonKindUnreadable
	}
}

// unreadable says what replicas cannot read, and what would help.
func unreadable(told []replicas.Unreadable) string {
	parts := make([]string, 0, len(told))
	for i, kind := range told {
		if i == maxNamedKinds {
			parts = append(parts, fmt.Sprintf("and %d other kinds", len(told)-maxNamedKinds))
			break
		}
		part := fmt.Sprintf("replica %s cannot read %s: %s", kind.Replica, kind.Kind, kind.Message)
		if kind.Reason == contract.UnreadableNoRoom {
			part += "; raise the memory limit of the PolicyServer, or give the policy a PolicyServer of its own"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; ")
}

// maxNamedKinds bounds how many kinds a message names.
const maxNamedKinds = 3

// lacks says what cannot be read and which rule would help; empty when all can.
func (s *state) lacks() string {
	var parts []string
	for _, lack := range s.context.Lacks {
		parts = append(parts, fmt.Sprintf("may not %s %s (group %q) in all namespaces: bind it to a ClusterRole with the rule apiGroups: [%q], resources: [%s], verbs: [%s]",
			enumerate(lack.Missing), lack.Resource, lack.Group, lack.Group, lack.Resource, strings.Join(lack.Verbs, ", ")))
	}
	if more := len(parts) - maxNamedKinds; more > 0 {
		parts = append(parts[:maxNamedKinds], fmt.Sprintf("and lacks rules for %d other resources", more))
	}
	if len(parts) > 0 {
		parts[0] = fmt.Sprintf("ServiceAccount %s %s", s.account, parts[0])
	}
	for i, kind := range s.context.Unserved {
		if i == maxNamedKinds {
			parts = append(parts, fmt.Sprintf("and %d other kinds", len(s.context.Unserved)-maxNamedKinds))
			break
		}
		parts = append(parts, fmt.Sprintf("the API server serves no kind %s of %s", kind.Kind, kind.APIVersion))
	}
	return strings.Join(parts, "; ")
}

// enumerate joins words as a sentence does.
func enumerate(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// contextTransitionOf compares ContextReadable before and after a reconcile; nil means that
// nothing happened that a user has to know.
func contextTransitionOf(before, after *policiesv1.PolicyStatus) *transition {
	was := apimeta.FindStatusCondition(before.Conditions, policiesv1.ConditionContextReadable)
	is := apimeta.FindStatusCondition(after.Conditions, policiesv1.ConditionContextReadable)
	switch {
	case is == nil, is.Status == metav1.ConditionUnknown:
		return nil
	case is.Status == metav1.ConditionFalse && (was == nil || was.Status != is.Status || was.Reason != is.Reason):
		return &transition{kind: corev1.EventTypeWarning, reason: is.Reason, message: is.Message}
	case is.Status == metav1.ConditionTrue && was != nil && was.Status == metav1.ConditionFalse:
		return &transition{kind: corev1.EventTypeNormal, reason: is.Reason, message: is.Message}
	default:
		return nil
	}
}
