package stack

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
)

// Reasons of Events about certificates that no condition has.
const (
	eventRekeyed = "Rekeyed"
	eventIssuer  = "IssuerChanged"
)

// happening is an Event.
type happening struct{ kind, reason, message string }

// steps say what is done in each step by which another authority takes over.
var steps = map[int32]string{
	1: "it is made", 2: "it is published, for every webhook to trust", 3: "certificates are issued by it",
	4: "every replica comes to present them, and the one before stays trusted until then",
}

// stuck are reasons of CertificatesReady that need somebody, though certificates are in use.
var stuck = []string{
	operatorv1alpha1.ReasonCertManagerNotFound, operatorv1alpha1.ReasonIssuerWithoutAuthority, operatorv1alpha1.ReasonAuthorityUnusable,
}

// certificateEvents are what a change of the status is worth to tell of certificates.
func certificateEvents(before, after *operatorv1alpha1.KubewardenStatus) []happening {
	var events []happening
	switch {
	case after.Rekeying != nil && (before.Rekeying == nil || before.Rekeying.Step != after.Rekeying.Step):
		message := fmt.Sprintf("step %d of %d: %s", after.Rekeying.Step, operatorv1alpha1.RekeyingSteps, steps[after.Rekeying.Step])
		if after.Rekeying.Because != "" {
			message += " (" + after.Rekeying.Because + ")"
		}
		events = append(events, happening{corev1.EventTypeNormal, operatorv1alpha1.ReasonRekeying, "another authority takes over, " + message})
	case after.Rekeying == nil && before.Rekeying != nil && trueIn(after, operatorv1alpha1.ConditionCertificatesReady):
		events = append(events, happening{corev1.EventTypeNormal, eventRekeyed, "another authority has taken over, and the one before is trusted no more"})
	}
	if was, is := signerIn(before), signerIn(after); was != is && was != "" && is != "" {
		events = append(events, happening{corev1.EventTypeNormal, eventIssuer, fmt.Sprintf("certificates are issued by %s from now on, and no more by %s", is, was)})
	}
	if is := changed(before, after, operatorv1alpha1.ConditionCertificatesReady); is != nil && slices.Contains(stuck, is.Reason) {
		events = append(events, happening{corev1.EventTypeWarning, is.Reason, is.Message})
	}
	was := apimeta.FindStatusCondition(before.Conditions, operatorv1alpha1.ConditionCertificatesCurrent)
	if is := changed(before, after, operatorv1alpha1.ConditionCertificatesCurrent); is != nil {
		switch {
		case is.Status == metav1.ConditionFalse:
			events = append(events, happening{corev1.EventTypeWarning, is.Reason, is.Message})
		case was != nil:
			events = append(events, happening{corev1.EventTypeNormal, is.Reason, is.Message})
		}
	}
	return events
}

func trueIn(status *operatorv1alpha1.KubewardenStatus, condition string) bool {
	return apimeta.IsStatusConditionTrue(status.Conditions, condition)
}

// changed is a condition whose reason is another one than before; nil for none.
func changed(before, after *operatorv1alpha1.KubewardenStatus, condition string) *metav1.Condition {
	was, is := apimeta.FindStatusCondition(before.Conditions, condition), apimeta.FindStatusCondition(after.Conditions, condition)
	if is == nil || was != nil && was.Reason == is.Reason {
		return nil
	}
	return is
}

// signerIn is who issues certificates by a status; empty while nobody does.
func signerIn(status *operatorv1alpha1.KubewardenStatus) string {
	switch {
	case status.CertificateIssuer != nil:
		return status.CertificateIssuer.Kind + " " + status.CertificateIssuer.Name
	case status.CertificateProvider != "":
		return "the operator's own authority, by provider " + string(status.CertificateProvider)
	default:
		return ""
	}
}
