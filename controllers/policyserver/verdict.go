package policyserver

import (
	"errors"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
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
		s.checkScale,
		s.checkReferences,
		s.checkReplicas,
		s.checkRollout,
		s.checkPolicies,
	} {
		if verdict := check(); verdict != nil {
			return *verdict
		}
	}
	return verdict{status: metav1.ConditionTrue, reason: policiesv1.ReasonServing, message: s.replicaCount() + "; " + s.policyCount()}
}

func (s *state) checkDeletion() *verdict {
	if s.server.DeletionTimestamp.IsZero() {
		return nil
	}
	return notReady(policiesv1.ReasonDeleting, "the PolicyServer is being deleted")
}

func (s *state) checkError(cause error) *verdict {
	switch {
	case cause == nil:
		return nil
	case errors.Is(cause, reconcile.TerminalError(nil)):
		return notReady(policiesv1.ReasonInvalidSpec, resource.Text(cause))
	default:
		return notReady(policiesv1.ReasonReconciliationFailed, resource.Text(cause))
	}
}

func (s *state) checkInstallation() *verdict {
	switch {
	case s.kubewarden == nil:
		return notReady(policiesv1.ReasonNoInstallation, "there is no Kubewarden object: the operator does nothing until one is created")
	case !s.kubewarden.DeletionTimestamp.IsZero():
		return notReady(policiesv1.ReasonNoInstallation, "the Kubewarden object is being deleted, and what it made with it")
	default:
		return nil
	}
}

func (s *state) checkScale() *verdict {
	if s.wanted() > 0 {
		return nil
	}
	return notReady(policiesv1.ReasonScaledToZero, "spec.replicas is 0, so no policy of this server is enforced")
}

// checkReferences names what the spec refers to and is not there: no Pod can start without
// it, whatever those do that have started.
func (s *state) checkReferences() *verdict {
	if len(s.unresolved) == 0 {
		return nil
	}
	return notReady(policiesv1.ReasonUnresolvedReference, s.replicaCount()+"; "+strings.Join(s.unresolved, "; "))
}

// checkReplicas tells how many replicas are ready and what holds the others back.
func (s *state) checkReplicas() *verdict {
	if s.replicas.Ready() >= s.wanted() {
		return nil
	}
	if !s.certificate.Ready {
		return notReady(policiesv1.ReasonWaitingForCertificate, s.replicaCount()+"; "+s.waitingForCertificate())
	}
	message := s.replicaCount()
	if trouble := s.trouble(); trouble != "" {
		message += "; " + trouble
	}
	if s.stalled() {
		return notReady(policiesv1.ReasonReplicasFailing, message)
	}
	return notReady(policiesv1.ReasonWaitingForReplicas, message)
}

// stalled says whether Kubernetes has given up waiting for the replicas, or cannot make them.
func (s *state) stalled() bool {
	if s.deployment == nil {
		return false
	}
	for _, condition := range s.deployment.Status.Conditions {
		switch {
		case condition.Type == appsv1.DeploymentReplicaFailure && condition.Status == corev1.ConditionTrue,
			condition.Type == appsv1.DeploymentProgressing && condition.Status == corev1.ConditionFalse:
			return true
		}
	}
	return false
}

// checkPolicies names policies that fail. They fail alone: the server is ready without them.
func (s *state) checkPolicies() *verdict {
	if counts := s.server.Status.Policies; counts == nil || counts.Failed == 0 {
		return nil
	}
	return &verdict{
		status: metav1.ConditionTrue, reason: policiesv1.ReasonPoliciesFailed,
		message: s.replicaCount() + "; " + s.policyCount(),
	}
}

func (s *state) replicaCount() string {
	return fmt.Sprintf("%d of %d replicas ready", s.replicas.Ready(), s.wanted())
}

func (s *state) policyCount() string {
	counts := s.server.Status.Policies
	if counts == nil || counts.Total == 0 {
		return "no policies"
	}
	text := fmt.Sprintf("%d of %d policies enforced", counts.Enforced, counts.Total)
	if counts.Failed > 0 {
		text += fmt.Sprintf(", %d failed: see their conditions", counts.Failed)
	}
	if refused := s.withoutRoom(); refused != "" {
		text += "; " + refused
	}
	return text
}

// trouble says why a replica is not there or not ready, if the cluster says so.
func (s *state) trouble() string {
	if s.deployment != nil {
		for _, condition := range s.deployment.Status.Conditions {
			if condition.Type == appsv1.DeploymentReplicaFailure && condition.Status == corev1.ConditionTrue {
				return condition.Message
			}
		}
	}
	for i := range s.pods {
		if trouble := podTrouble(&s.pods[i]); trouble != "" {
			return fmt.Sprintf("Pod %s: %s", s.pods[i].Name, trouble)
		}
	}
	return ""
}

// podTrouble says what a Pod waits for, unless it is merely starting.
func podTrouble(pod *corev1.Pod) string {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
			return condition.Message
		}
	}
	for i := range pod.Status.ContainerStatuses {
		waiting := pod.Status.ContainerStatuses[i].State.Waiting
		if waiting == nil || waiting.Reason == "ContainerCreating" || waiting.Reason == "PodInitializing" {
			continue
		}
		if waiting.Message == "" {
			return waiting.Reason
		}
		return waiting.Reason + ": " + waiting.Message
	}
	return ""
}
