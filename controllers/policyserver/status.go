package policyserver

import (
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/resource"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// childConditions are upstream's conditions of a PolicyServer, in the order in which they
// are set. The last is True only when all are.
var childConditions = []string{
	policiesv1.ConditionCertSecretReconciled,
	policiesv1.ConditionConfigMapReconciled,
	policiesv1.ConditionPodDisruptionBudgetReconciled,
	policiesv1.ConditionDeploymentReconciled,
	policiesv1.ConditionServiceReconciled,
}

// writeStatus computes the status from what the reconcile has seen and done, on success
// and on error, and writes it when it changed. Events follow the write, so that a
// transition is told once.
func (r *Reconciler) writeStatus(ctx context.Context, s *state, cause error) error {
	if apierrors.IsConflict(cause) {
		// Something moved while it was looked at; the next reconcile knows more.
		return cause
	}
	setStatus(s, r.Render.Image, cause)
	written, err := resource.PatchStatus(ctx, r.Client, resource.Change{Original: s.original, Changed: s.server}, cause)
	if written {
		r.recordTransition(s)
	}
	return err
}

// setStatus is the whole status as a function of the state.
func setStatus(s *state, operatorImage string, cause error) {
	status := &s.server.Status
	status.ObservedGeneration = s.server.Generation
	status.Image = render.Image(s.server, operatorImage)
	if s.observed {
		setReplicas(s)
		setPolicies(s)
		setWebhooksCleanedUp(s)
	}
	if s.applied {
		setChildren(s)
	}
	setReady(s, cause)
}

func setReplicas(s *state) {
	s.server.Status.Replicas = &policiesv1.PolicyServerReplicas{
		Wanted:   s.wanted(),
		Ready:    s.replicas.Ready(),
		UpToDate: s.upToDate(),
	}
}

func (s *state) wanted() int32 { return render.WantedReplicas(s.server, s.scaled()) }

// scaled is the number of replicas that the live Deployment asks for; nil when there is none.
func (s *state) scaled() *int32 {
	if s.deployment == nil {
		return nil
	}
	return s.deployment.Spec.Replicas
}

// upToDate counts the ready replicas that have read the policies as they are now, to the
// end, and refused none.
func (s *state) upToDate() int32 {
	wanted, err := contract.ConfigRevision(s.policies)
	if err != nil {
		return 0
	}
	count := int32(0)
	for _, replica := range s.replicas {
		report := replica.Report
		if replica.Ready && report != nil && report.ConfigRevision == wanted && (report.Flawless() || replica.Silent) {
			count++
		}
	}
	return count
}

func setPolicies(s *state) {
	withoutRoom := int32(len(s.refused)) //nolint:gosec // the API server holds no 2^31 policies
	counts := &policiesv1.PolicyCounts{Total: s.unrendered + withoutRoom, Failed: s.unrendered + withoutRoom}
	for id, entry := range s.policies {
		if _, refused := s.refused[id]; refused {
			continue // it has only the entry of before
		}
		counts.Total++
		policy, err := s.replicas.Policy(id, entry)
		if err != nil {
			counts.Failed++
			continue
		}
		if policy.Ready > 0 && policy.Enforcing == policy.Ready && policy.Lingering == 0 {
			counts.Enforced++
		}
		if len(policy.Refusals) > 0 {
			counts.Failed++
		}
	}
	s.server.Status.Policies = counts
}

// setWebhooksCleanedUp tells, while the server is on its way out, whose webhooks it waits
// for. The message is upstream's (policyserver_controller.go).
func setWebhooksCleanedUp(s *state) {
	if s.server.DeletionTimestamp.IsZero() {
		apimeta.RemoveStatusCondition(&s.server.Status.Conditions, policiesv1.ConditionPolicyWebhooksCleanedUp)
		return
	}
	condition := metav1.Condition{
		Type:   policiesv1.ConditionPolicyWebhooksCleanedUp,
		Status: metav1.ConditionTrue,
		Reason: policiesv1.ReasonReconciliationSucceeded,
	}
	if len(s.webhooks) > 0 {
		condition.Status = metav1.ConditionFalse
		condition.Reason = policiesv1.ReasonReconciliationFailed
		condition.Message = "Waiting for webhook cleanup of policies: " + strings.Join(s.webhooks, ", ")
	}
	setCondition(s, condition)
}

// setChildren sets upstream's five conditions.
func setChildren(s *state) {
	complete := true
	for _, conditionType := range childConditions {
		condition := metav1.Condition{
			Type:   conditionType,
			Status: metav1.ConditionTrue,
			Reason: policiesv1.ReasonReconciliationSucceeded,
		}
		switch err := s.failed[conditionType]; {
		case err != nil:
			condition.Status = metav1.ConditionFalse
			condition.Reason = policiesv1.ReasonReconciliationFailed
			condition.Message = resource.Text(err)
		case conditionType == policiesv1.ConditionCertSecretReconciled && !s.certificate.Ready:
			condition.Status = metav1.ConditionFalse
			condition.Reason = policiesv1.ReasonWaitingForCertificate
			condition.Message = s.waitingForCertificate()
		case conditionType == policiesv1.ConditionCertSecretReconciled:
			condition.Message = s.certificate.Message
		case conditionType == policiesv1.ConditionDeploymentReconciled && s.withoutPriority != "":
			condition.Message = "the Pods have no priority class: " + s.withoutPriority
		case conditionType == policiesv1.ConditionServiceReconciled && !complete:
			condition.Status = metav1.ConditionFalse
			condition.Reason = policiesv1.ReasonReconciliationFailed
			condition.Message = "the Service is in place; something before it is not"
		}
		complete = complete && condition.Status == metav1.ConditionTrue
		setCondition(s, condition)
	}
}

// waitingForCertificate says what the certificate waits for.
func (s *state) waitingForCertificate() string {
	if s.certificate.Message == "" {
		return "waiting for a certificate"
	}
	return s.certificate.Message
}

func setReady(s *state, cause error) {
	verdict := s.verdict(cause)
	setCondition(s, metav1.Condition{
		Type:    policiesv1.ConditionReady,
		Status:  verdict.status,
		Reason:  verdict.reason,
		Message: verdict.message,
	})
}

func setCondition(s *state, condition metav1.Condition) {
	condition.ObservedGeneration = s.server.Generation
	apimeta.SetStatusCondition(&s.server.Status.Conditions, condition)
}

// recordTransition records an Event when Ready changed to a state that is news: a server
// that is starting up is none.
func (r *Reconciler) recordTransition(s *state) {
	before := apimeta.FindStatusCondition(s.original.Status.Conditions, policiesv1.ConditionReady)
	after := apimeta.FindStatusCondition(s.server.Status.Conditions, policiesv1.ConditionReady)
	if kind := transitionOf(before, after); kind != "" {
		r.Recorder.Eventf(s.server, nil, kind, after.Reason, "Serve", "%s", resource.Note(after.Message))
	}
}

// transitionOf is the type of the Event that a change of Ready is worth; empty for none.
func transitionOf(before, after *metav1.Condition) string {
	wasTrue := before != nil && before.Status == metav1.ConditionTrue
	isTrue := after.Status == metav1.ConditionTrue
	sameReason := before != nil && before.Reason == after.Reason
	starting := after.Reason == policiesv1.ReasonWaitingForCertificate || after.Reason == policiesv1.ReasonWaitingForReplicas
	switch {
	case after.Reason == policiesv1.ReasonDeleting, isTrue && wasTrue, !isTrue && sameReason, starting && !wasTrue:
		return ""
	case isTrue:
		return corev1.EventTypeNormal
	default:
		return corev1.EventTypeWarning
	}
}
