package stack

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
)

func TestCertificateEvents(t *testing.T) {
	type status = operatorv1alpha1.KubewardenStatus
	with := func(conditions ...metav1.Condition) *status { return &status{Conditions: conditions} }
	condition := func(kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: "why"}
	}
	ready, current := operatorv1alpha1.ConditionCertificatesReady, operatorv1alpha1.ConditionCertificatesCurrent
	rekeying := func(step int32, waitingFor string) *status {
		status := with(condition(ready, metav1.ConditionTrue, "Rekeying"))
		status.Rekeying = &operatorv1alpha1.Rekeying{Step: step, Because: "it is monday", WaitingFor: waitingFor}
		return status
	}
	of := func(provider operatorv1alpha1.CertificateProvider, issuer string) *status {
		status := &status{CertificateProvider: provider}
		if issuer != "" {
			status.CertificateIssuer = &operatorv1alpha1.IssuerReference{Kind: "ClusterIssuer", Name: issuer}
		}
		return status
	}
	issued := with(condition(ready, metav1.ConditionTrue, "Issued"))
	tests := map[string]struct {
		before, after *status
		want          []happening
	}{
		"at first":       {before: &status{}, after: of("built-in", "")},
		"nothing":        {before: rekeying(2, ""), after: rekeying(2, "")},
		"another waiter": {before: rekeying(4, "Pod a"), after: rekeying(4, "Pod b")},
		"it begins": {before: issued, after: rekeying(1, ""), want: []happening{{
			corev1.EventTypeNormal, "Rekeying",
			"another authority takes over, step 1 of 4: it is made (it is monday)",
		}}},
		"it goes on": {before: rekeying(2, "webhook"), after: rekeying(3, ""), want: []happening{{
			corev1.EventTypeNormal, "Rekeying",
			"another authority takes over, step 3 of 4: certificates are issued by it (it is monday)",
		}}},
		"it ends": {before: rekeying(4, "Pod a"), after: issued, want: []happening{{
			corev1.EventTypeNormal, "Rekeyed",
			"another authority has taken over, and the one before is trusted no more",
		}}},
		"it is interrupted": {before: rekeying(4, "Pod a"), after: with(condition(ready, metav1.ConditionFalse, "ReconciliationFailed"))},
		"an issuer in the place of another": {before: of("cert-manager", "a"), after: of("cert-manager", "b"), want: []happening{{
			corev1.EventTypeNormal, "IssuerChanged", "certificates are issued by ClusterIssuer b from now on, and no more by ClusterIssuer a",
		}}},
		"an issuer in the place of built-in": {before: of("built-in", ""), after: of("cert-manager", "b"), want: []happening{{
			corev1.EventTypeNormal, "IssuerChanged",
			"certificates are issued by ClusterIssuer b from now on, and no more by the operator's own authority, by provider built-in",
		}}},
		"cert-manager is gone": {
			before: issued, after: with(condition(ready, metav1.ConditionTrue, "CertManagerNotFound")),
			want: []happening{{corev1.EventTypeWarning, "CertManagerNotFound", "why"}},
		},
		"it still is":                {before: with(condition(ready, metav1.ConditionTrue, "CertManagerNotFound")), after: with(condition(ready, metav1.ConditionTrue, "CertManagerNotFound"))},
		"in time from the first":     {before: &status{}, after: with(condition(current, metav1.ConditionTrue, "RenewedInTime"))},
		"something expires":          {before: with(condition(current, metav1.ConditionTrue, "RenewedInTime")), after: with(condition(current, metav1.ConditionFalse, "ExpiresSoon")), want: []happening{{corev1.EventTypeWarning, "ExpiresSoon", "why"}}},
		"something expires at first": {before: &status{}, after: with(condition(current, metav1.ConditionFalse, "ExpiresSoon")), want: []happening{{corev1.EventTypeWarning, "ExpiresSoon", "why"}}},
		"it was renewed":             {before: with(condition(current, metav1.ConditionFalse, "ExpiresSoon")), after: with(condition(current, metav1.ConditionTrue, "RenewedInTime")), want: []happening{{corev1.EventTypeNormal, "RenewedInTime", "why"}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, certificateEvents(tc.before, tc.after), cmp.AllowUnexported(happening{})); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}
