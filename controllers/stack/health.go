package stack

import (
	"fmt"
	"slices"
	"strings"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/resource"
)

// What the objects of an installation say of themselves is of three kinds: something is under
// way and comes about without anybody's help, something needs somebody, or somebody wants it
// so. The first is Progressing, the second Degraded; the third is neither.

// underWay are reasons of Ready that pass by themselves, on policies and on policy servers.
var underWay = []string{
	policiesv1.ReasonLoading, policiesv1.ReasonWaitingForCertificate, policiesv1.ReasonWaitingForReplicas,
	policiesv1.ReasonPolicyServerNotReady, policiesv1.ReasonDeleting, policiesv1.ReasonPolicyServerDeleting,
}

// asWanted are reasons of Ready that somebody asked for.
var asWanted = []string{
	policiesv1.ReasonSuspended, policiesv1.ReasonNoInstallation, policiesv1.ReasonScaledToZero, policiesv1.ReasonPolicyServerScaledToZero,
}

// health is what there is to say about objects of one sort.
type health struct{ progressing, degraded []string }

// look files an object by its condition Ready.
func (h *health) look(name string, generation int64, conditions []metav1.Condition) {
	ready := apimeta.FindStatusCondition(conditions, policiesv1.ConditionReady)
	switch {
	case ready == nil || ready.ObservedGeneration < generation:
		h.progressing = append(h.progressing, name+": not looked at yet")
	case ready.Status == metav1.ConditionTrue, slices.Contains(asWanted, ready.Reason):
		// Policies that a server does not serve speak for themselves.
	case slices.Contains(underWay, ready.Reason):
		h.progressing = append(h.progressing, name+": "+ready.Reason)
	default:
		h.degraded = append(h.degraded, name+": "+ready.Reason)
	}
}

// lookForRights files a policy that is enforced and may not read what it declares.
func (h *health) lookForRights(name string, conditions []metav1.Condition) {
	readable := apimeta.FindStatusCondition(conditions, policiesv1.ConditionContextReadable)
	if readable != nil && readable.Status == metav1.ConditionFalse {
		h.degraded = append(h.degraded, name+": "+readable.Reason)
	}
}

func (s *state) serverHealth() health {
	var of health
	for i := range s.servers {
		server := &s.servers[i]
		of.look("PolicyServer "+server.Name, server.Generation, server.Status.Conditions)
	}
	return of
}

func (s *state) policyHealth() health {
	var of health
	for _, policy := range s.policies {
		name := policy.GetName()
		if namespace := policy.GetNamespace(); namespace != "" {
			name = namespace + "/" + name
		}
		name = policy.GetObjectKind().GroupVersionKind().Kind + " " + name
		known := len(of.degraded)
		of.look(name, policy.GetGeneration(), policy.GetStatus().Conditions)
		if len(of.degraded) == known {
			of.lookForRights(name, policy.GetStatus().Conditions)
		}
	}
	return of
}

// setHealth sets Progressing and Degraded.
func (s *state) setHealth(cause error) {
	servers, policies := s.serverHealth(), s.policyHealth()
	progressing := first(s.installing(),
		named(operatorv1alpha1.ReasonPolicyServersStarting, "policy servers that come up", servers.progressing),
		named(operatorv1alpha1.ReasonPoliciesLoading, "policies that are being brought into force", policies.progressing),
		&verdict{metav1.ConditionFalse, operatorv1alpha1.ReasonSettled, "nothing is under way"})
	degraded := first(s.troubled(cause),
		named(operatorv1alpha1.ReasonPolicyServersFailing, "policy servers that need somebody", servers.degraded),
		named(operatorv1alpha1.ReasonPoliciesFailing, "policies that are not enforced as their specs say", policies.degraded),
		&verdict{metav1.ConditionFalse, operatorv1alpha1.ReasonNothingFailed, "nothing needs anybody"})
	for _, condition := range []struct {
		kind string
		*verdict
	}{{operatorv1alpha1.ConditionProgressing, progressing}, {operatorv1alpha1.ConditionDegraded, degraded}} {
		s.setCondition(metav1.Condition{Type: condition.kind, Status: condition.status, Reason: condition.reason, Message: condition.message})
	}
}

// installing says what of the installation itself is under way; nil for nothing.
func (s *state) installing() *verdict {
	certificates := apimeta.FindStatusCondition(s.kubewarden.Status.Conditions, operatorv1alpha1.ConditionCertificatesReady)
	switch {
	case !s.kubewarden.DeletionTimestamp.IsZero():
		return &verdict{metav1.ConditionTrue, operatorv1alpha1.ReasonDeleting, "the installation is being removed"}
	case certificates == nil:
		return &verdict{metav1.ConditionTrue, operatorv1alpha1.ReasonCertificatesNotReady, "the certificate authority is not asked for yet"}
	case certificates.Reason == operatorv1alpha1.ReasonWaitingForIssuer, certificates.Reason == operatorv1alpha1.ReasonChangingProvider,
		certificates.Reason == operatorv1alpha1.ReasonRekeying:
		return &verdict{metav1.ConditionTrue, certificates.Reason, certificates.Message}
	}
	recommended := apimeta.FindStatusCondition(s.kubewarden.Status.Conditions, operatorv1alpha1.ConditionRecommendedPoliciesApplied)
	if recommended != nil && recommended.Reason == operatorv1alpha1.ReasonReplacing {
		return &verdict{metav1.ConditionTrue, recommended.Reason, recommended.Message}
	}
	return nil
}

// troubled says what of the installation itself needs somebody; nil for nothing.
func (s *state) troubled(cause error) *verdict {
	certificates := apimeta.FindStatusCondition(s.kubewarden.Status.Conditions, operatorv1alpha1.ConditionCertificatesReady)
	current := apimeta.FindStatusCondition(s.kubewarden.Status.Conditions, operatorv1alpha1.ConditionCertificatesCurrent)
	switch {
	case cause != nil:
		return &verdict{metav1.ConditionTrue, operatorv1alpha1.ReasonReconciliationFailed, resource.Text(cause)}
	case certificates != nil && certificates.Status != metav1.ConditionTrue && certificates.Reason != operatorv1alpha1.ReasonWaitingForIssuer,
		certificates != nil && slices.Contains(stuck, certificates.Reason):
		return &verdict{metav1.ConditionTrue, certificates.Reason, certificates.Message}
	case current != nil && current.Status != metav1.ConditionTrue:
		return &verdict{metav1.ConditionTrue, current.Reason, current.Message}
	case s.auditTrouble() != "" && s.kubewarden.Spec.Enforcement != operatorv1alpha1.EnforcementSuspended:
		return &verdict{metav1.ConditionTrue, operatorv1alpha1.ReasonAuditNotScheduled, s.auditTrouble()}
	default:
		return nil
	}
}

// first is the first verdict that there is.
func first(verdicts ...*verdict) *verdict {
	for _, one := range verdicts {
		if one != nil {
			return one
		}
	}
	return nil
}

// maxNamed bounds how many objects a message names.
const maxNamed = 3

// named is a verdict that counts objects and names some; nil for none.
func named(reason, what string, objects []string) *verdict {
	if len(objects) == 0 {
		return nil
	}
	message := fmt.Sprintf("%s (%d): ", what, len(objects))
	if more := len(objects) - maxNamed; more > 0 {
		objects = append(objects[:maxNamed:maxNamed], fmt.Sprintf("and %d more", more))
	}
	return &verdict{metav1.ConditionTrue, reason, message + strings.Join(objects, "; ")}
}
