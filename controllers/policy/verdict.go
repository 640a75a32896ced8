package policy

import (
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
	"github.com/kubewarden/kubewarden-operator/controllers/resource"
)

// verdict is what the Ready condition says.
type verdict struct {
	status          metav1.ConditionStatus
	reason, message string
}

func notReady(reason, message string) *verdict {
	return &verdict{status: metav1.ConditionFalse, reason: reason, message: message}
}

// verdict asks in the order in which one thing hides the next; the first answer counts.
func (s *state) verdict(cause error) verdict {
	for _, check := range []func() *verdict{
		s.checkDeletion,
		func() *verdict { return s.checkError(cause) },
		s.checkInstallation,
		s.checkPolicyServer,
		s.checkSpec,
		s.checkRoom,
		s.checkEnforced,
		s.checkRefusals,
		s.checkReplicas,
	} {
		if verdict := check(); verdict != nil {
			return *verdict
		}
	}
	return *notReady(policiesv1.ReasonWebhookFailed, "the webhook is not written yet")
}

func (s *state) checkDeletion() *verdict {
	if s.policy.GetDeletionTimestamp().IsZero() {
		return nil
	}
	return notReady(policiesv1.ReasonDeleting, "the policy is being deleted")
}

func (s *state) checkError(cause error) *verdict {
	switch {
	case cause == nil:
		return nil
	case apierrors.IsInvalid(cause):
		return notReady(policiesv1.ReasonInvalidSpec, "the API server refuses the webhook that the policy asks for: "+reasonOf(cause))
	case s.action != 0:
		return notReady(policiesv1.ReasonWebhookFailed, resource.Text(cause))
	default:
		return notReady(policiesv1.ReasonReconciliationFailed, resource.Text(cause))
	}
}

// reasonOf is the API server's own words, without those of the layers that passed them on.
func reasonOf(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return status.Status().Message
	}
	return err.Error()
}

func (s *state) checkInstallation() *verdict {
	switch {
	case s.kubewarden == nil:
		return notReady(policiesv1.ReasonNoInstallation, "there is no Kubewarden object: the operator does nothing until one is created")
	case !s.kubewarden.DeletionTimestamp.IsZero():
		return notReady(policiesv1.ReasonNoInstallation, "the Kubewarden object is being deleted, so no policy is enforced")
	case s.withdrawn() == policiesv1.ReasonSuspended:
		return notReady(policiesv1.ReasonSuspended, "the Kubewarden object says enforcement: Suspended, so no policy is enforced")
	default:
		return nil
	}
}

func (s *state) checkPolicyServer() *verdict {
	name := s.policy.GetPolicyServer()
	switch reason := s.withdrawn(); reason {
	case policiesv1.ReasonPolicyServerNotFound:
		return notReady(reason, fmt.Sprintf("there is no PolicyServer named %s", name))
	case policiesv1.ReasonPolicyServerDeleting:
		return notReady(reason, fmt.Sprintf("PolicyServer %s is being deleted", name))
	case policiesv1.ReasonPolicyServerScaledToZero:
		return notReady(reason, fmt.Sprintf("PolicyServer %s wants no replicas, so the policy is not enforced", name))
	default:
		return nil
	}
}

func (s *state) checkSpec() *verdict {
	if len(s.invalid) == 0 {
		return nil
	}
	return notReady(policiesv1.ReasonInvalidSpec, s.invalid.ToAggregate().Error())
}

// checkRoom tells a policy that the configuration of its server has no room for. What is
// configured is what was before, if anything.
func (s *state) checkRoom() *verdict {
	switch {
	case s.refused == nil:
		return nil
	case s.refused.TooLarge():
		return notReady(policiesv1.ReasonPolicyTooLarge, fmt.Sprintf(
			"the policy takes %d bytes of its server's configuration, and %d are allowed: make its settings smaller; %s",
			s.refused.Bytes, render.MaxEntryBytes, s.meanwhile()))
	default:
		return notReady(policiesv1.ReasonPolicyServerFull, fmt.Sprintf(
			"PolicyServer %s has no room for the policy, which takes %d of the %d bytes that all its policies may have: "+
				"bind some of them to another PolicyServer; %s",
			s.policy.GetPolicyServer(), s.refused.Bytes, s.refused.Room, s.meanwhile()))
	}
}

func (s *state) checkEnforced() *verdict {
	if !s.stands || !s.current || !s.enforced() {
		return nil
	}
	reason, message := policiesv1.ReasonEnforced, s.counts()
	if s.replicas.Silent > 0 {
		reason = policiesv1.ReasonReportedByRollout
	}
	if len(s.replicas.Refusals) > 0 {
		message += "; a replica that is not ready says " + describe(s.replicas.Refusals[0])
	}
	if apimeta.IsStatusConditionFalse(s.policy.GetStatus().Conditions, policiesv1.ConditionContextReadable) {
		message += "; it may not read all that it declares, see ContextReadable"
	}
	return &verdict{status: metav1.ConditionTrue, reason: reason, message: message}
}

// checkRefusals names what the replicas have against the policy, and what becomes of
// requests meanwhile.
func (s *state) checkRefusals() *verdict {
	if len(s.replicas.Refusals) == 0 {
		return nil
	}
	refusal := s.replicas.Refusals[0]
	verb := "refuse"
	if refusal.Reason.Transient() {
		verb = "cannot load"
	}
	message := fmt.Sprintf("%d of %d replicas %s the policy: %s", len(refusal.Replicas), s.replicas.Total, verb, describe(refusal))
	if further := len(s.replicas.Refusals) - 1; further > 0 {
		message += fmt.Sprintf(" (and %d other reasons)", further)
	}
	return notReady(string(refusal.Reason), message+"; "+s.meanwhile())
}

// meanwhile is what is served while the wanted revision is not.
func (s *state) meanwhile() string {
	for _, revision := range s.replicas.Served {
		if !revision.Wanted {
			return fmt.Sprintf("%d of %d ready replicas still serve the older revision %s",
				revision.Replicas, s.replicas.Ready, revision.Revision)
		}
	}
	switch {
	case s.replicas.Enforcing > 0:
		return s.counts()
	case s.stands:
		return "no replica serves it, and failurePolicy decides"
	default:
		return "no revision of it is served, and its webhook is not created"
	}
}

func (s *state) checkReplicas() *verdict {
	switch {
	case s.replicas.Ready == 0 && s.stands:
		return notReady(policiesv1.ReasonPolicyServerNotReady, fmt.Sprintf(
			"PolicyServer %s has no ready replica, and failurePolicy decides", s.policy.GetPolicyServer()))
	case s.replicas.Ready == 0:
		return notReady(policiesv1.ReasonPolicyServerNotReady, fmt.Sprintf(
			"PolicyServer %s has no ready replica yet", s.policy.GetPolicyServer()))
	case !s.enforced() && s.replicas.Silent > 0:
		return notReady(policiesv1.ReasonLoading, fmt.Sprintf("%s; PolicyServer %s tells how its roll-out goes", s.counts(), s.policy.GetPolicyServer()))
	case !s.enforced():
		return notReady(policiesv1.ReasonLoading, s.counts())
	case s.unreachable > 0:
		return notReady(policiesv1.ReasonLoading, s.counts()+"; the webhook is created as soon as all nodes can be expected to reach them")
	case len(s.caBundle) == 0:
		return notReady(policiesv1.ReasonWaitingForCertificate, "no certificate authority is published yet that the API server could trust")
	default:
		return nil
	}
}

// counts says how many replicas enforce what.
func (s *state) counts() string {
	verb := "enforce"
	if s.replicas.Silent > 0 {
		verb = "were started with" // which is all that is known of some of them
	}
	counts := fmt.Sprintf("%d of %d replicas %s", s.replicas.Enforcing, s.replicas.Ready, verb)
	if s.replicas.Ready == 0 {
		return "no replica is ready"
	}
	if s.replicas.Enforcing == 0 {
		counts += " the policy as its spec says"
	} else {
		counts += " revision " + s.replicas.Served[0].Revision
	}
	if s.replicas.Lingering > 0 {
		counts += fmt.Sprintf("; %d that are to stop still answer as before", s.replicas.Lingering)
	}
	if s.replicas.Untold > 0 {
		counts += fmt.Sprintf("; the reports of %d are too large to tell", s.replicas.Untold)
	}
	return counts
}

// maxNamedReplicas bounds how many replicas a message names.
const maxNamedReplicas = 3

func describe(refusal replicas.Refusal) string {
	names := refusal.Replicas
	suffix := ""
	if len(names) > maxNamedReplicas {
		suffix = fmt.Sprintf(" and %d more", len(names)-maxNamedReplicas)
		names = names[:maxNamedReplicas]
	}
	message := refusal.Message
	if message == "" {
		message = "no message"
	}
	return fmt.Sprintf("%s: %s (%s%s)", refusal.Reason, message, strings.Join(names, ", "), suffix)
}
