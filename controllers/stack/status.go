package stack

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/resource"
)

// writeStatus computes the status from what the reconcile has seen and done, on success
// and on error, and writes it when it changed. The condition CertificatesReady is set
// when the step with the authority is taken.
func (r *Reconciler) writeStatus(ctx context.Context, s *state, cause error) error {
	if apierrors.IsConflict(cause) {
		// Something moved while it was looked at; the next reconcile knows more.
		return cause
	}
	setStatus(s, render.NeverLockOut(r.Render), cause)
	written, err := resource.PatchStatus(ctx, r.Client, resource.Change{Original: s.original, Changed: s.kubewarden}, cause)
	if written {
		r.recordTransition(s)
	}
	return err
}

// setStatus is the whole status as a function of the state.
func setStatus(s *state, neverLockOut []string, cause error) {
	status := &s.kubewarden.Status
	status.ObservedGeneration = s.kubewarden.Generation
	status.NeverLockOut = neverLockOut
	if s.observed {
		setCounts(s)
		setAudit(s)
		setRecommended(s)
		setMonitoring(s)
		s.setHealth(cause)
	}
	verdict := s.verdict(cause)
	s.setCondition(metav1.Condition{
		Type: operatorv1alpha1.ConditionReady, Status: verdict.status, Reason: verdict.reason, Message: verdict.message,
	})
}

// setCondition sets a condition that tells of the spec as it was read.
func (s *state) setCondition(condition metav1.Condition) {
	condition.ObservedGeneration = s.kubewarden.Generation
	apimeta.SetStatusCondition(&s.kubewarden.Status.Conditions, condition)
}

func setCounts(s *state) {
	servers := &operatorv1alpha1.PolicyServerCounts{}
	for i := range s.servers {
		servers.Total++
		if apimeta.IsStatusConditionTrue(s.servers[i].Status.Conditions, policiesv1.ConditionReady) {
			servers.Ready++
		}
	}
	policies := &operatorv1alpha1.PolicyCounts{}
	for _, policy := range s.policies {
		policies.Total++
		switch policy.GetStatus().PolicyStatus {
		case policiesv1.PolicyStateActive:
			policies.Active++
		case policiesv1.PolicyStatePending:
			policies.Pending++
		case policiesv1.PolicyStateScheduled:
			policies.Scheduled++
		default:
			policies.Unscheduled++
		}
	}
	s.kubewarden.Status.PolicyServers, s.kubewarden.Status.Policies = servers, policies
}

// verdict is what the Ready condition says.
type verdict struct {
	status          metav1.ConditionStatus
	reason, message string
}

func notReady(reason, message string) verdict {
	return verdict{status: metav1.ConditionFalse, reason: reason, message: message}
}

func (s *state) verdict(cause error) verdict {
	switch {
	case cause != nil:
		return notReady(operatorv1alpha1.ReasonReconciliationFailed, resource.Text(cause))
	case !s.kubewarden.DeletionTimestamp.IsZero() && s.remains() != "":
		return notReady(operatorv1alpha1.ReasonDeleting, "the installation is being removed, waiting for "+s.remains())
	case !s.kubewarden.DeletionTimestamp.IsZero():
		return notReady(operatorv1alpha1.ReasonDeleting, "the installation is being removed")
	case s.kubewarden.Spec.Enforcement == operatorv1alpha1.EnforcementSuspended:
		return notReady(operatorv1alpha1.ReasonSuspended,
			"spec.enforcement is Suspended: no policy is enforced, and there is no webhook; set it to Enabled to enforce again")
	}
	certificates := apimeta.FindStatusCondition(s.kubewarden.Status.Conditions, operatorv1alpha1.ConditionCertificatesReady)
	if certificates == nil {
		return notReady(operatorv1alpha1.ReasonCertificatesNotReady, "the certificate authority is not asked for yet")
	}
	if certificates.Status != metav1.ConditionTrue {
		return notReady(operatorv1alpha1.ReasonCertificatesNotReady, certificates.Message)
	}
	if message := s.defaultServerTrouble(); message != "" {
		return notReady(operatorv1alpha1.ReasonDefaultPolicyServerNotReady, message)
	}
	if message := s.auditTrouble(); message != "" {
		return notReady(operatorv1alpha1.ReasonAuditNotScheduled, message+"; policies are enforced")
	}
	return verdict{status: metav1.ConditionTrue, reason: operatorv1alpha1.ReasonEnforcing, message: s.summary()}
}

// defaultServerTrouble says what the default PolicyServer lacks; empty when it is Ready or
// not wanted.
func (s *state) defaultServerTrouble() string {
	if render.DefaultPolicyServer(s.kubewarden) == nil {
		return ""
	}
	for i := range s.servers {
		if s.servers[i].Name != policiesv1.DefaultPolicyServer {
			continue
		}
		ready := apimeta.FindStatusCondition(s.servers[i].Status.Conditions, policiesv1.ConditionReady)
		switch {
		case ready == nil:
			return "PolicyServer default is not looked at yet"
		case ready.Status != metav1.ConditionTrue:
			return "PolicyServer default: " + ready.Message
		default:
			return ""
		}
	}
	return "PolicyServer default is not created yet"
}

// auditTrouble says why no scan starts though audits are wanted; empty when they do.
func (s *state) auditTrouble() string {
	scheduled := apimeta.FindStatusCondition(s.kubewarden.Status.Conditions, operatorv1alpha1.ConditionAuditScheduled)
	if scheduled == nil || scheduled.Status == metav1.ConditionTrue || !s.audits() {
		return ""
	}
	return scheduled.Message
}

func (s *state) summary() string {
	status := s.kubewarden.Status
	summary := fmt.Sprintf("%d of %d policies active, %d of %d policy servers ready",
		status.Policies.Active, status.Policies.Total, status.PolicyServers.Ready, status.PolicyServers.Total)
	if s.foreignDefault {
		summary += "; PolicyServer default was not made by this operator and is used as it is"
	}
	if len(s.recommended.foreign) > 0 {
		summary += "; " + s.foreignPolicies()
	}
	return summary
}

// remains says what an uninstallation still waits for; empty when nothing is left.
func (s *state) remains() string {
	servers := make([]*policiesv1.PolicyServer, 0, len(s.servers))
	for i := range s.servers {
		servers = append(servers, &s.servers[i])
	}
	var parts []string
	for _, remaining := range []struct {
		count int
		what  string
	}{
		{s.webhooks, "webhook configurations"},
		{held(s.policies), "policies with our finalizer"},
		{held(servers), "policy servers with our finalizer"},
		{s.deployments, "deployments of policy servers"},
	} {
		if remaining.count > 0 {
			parts = append(parts, fmt.Sprintf("%s (%d)", remaining.what, remaining.count))
		}
	}
	return strings.Join(parts, ", ")
}

func (r *Reconciler) recordTransition(s *state) {
	before := apimeta.FindStatusCondition(s.original.Status.Conditions, operatorv1alpha1.ConditionReady)
	after := apimeta.FindStatusCondition(s.kubewarden.Status.Conditions, operatorv1alpha1.ConditionReady)
	if kind := transitionOf(before, after); kind != "" {
		r.Recorder.Eventf(s.kubewarden, nil, kind, after.Reason, "Install", "%s", resource.Note(after.Message))
	}
	for _, event := range certificateEvents(&s.original.Status, &s.kubewarden.Status) {
		r.Recorder.Eventf(s.kubewarden, nil, event.kind, event.reason, "IssueCertificates", "%s", resource.Note(event.message))
	}
	for _, event := range auditEvents(&s.original.Status, &s.kubewarden.Status) {
		r.Recorder.Eventf(s.kubewarden, nil, event.kind, event.reason, "Audit", "%s", resource.Note(event.message))
	}
}

// transitionOf is the type of the Event that a change of Ready is worth; empty for none.
// What every installation goes through on its way up is no news.
func transitionOf(before, after *metav1.Condition) string {
	wasTrue := before != nil && before.Status == metav1.ConditionTrue
	sameReason := before != nil && before.Reason == after.Reason
	starting := after.Reason == operatorv1alpha1.ReasonCertificatesNotReady ||
		after.Reason == operatorv1alpha1.ReasonDefaultPolicyServerNotReady ||
		after.Reason == operatorv1alpha1.ReasonAuditNotScheduled
	switch {
	case sameReason, starting && !wasTrue:
		return ""
	case after.Status == metav1.ConditionTrue, after.Reason == operatorv1alpha1.ReasonDeleting:
		return corev1.EventTypeNormal
	default:
		return corev1.EventTypeWarning
	}
}
