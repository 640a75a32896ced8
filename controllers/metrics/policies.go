package metrics

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/index"
)

// Upstream's counter kubewarden_policy_total grows with every reconcile and counts nothing
// that a user could name; it has no successor under its own name.
var (
	policies = prometheus.NewDesc("kubewarden_policies",
		"Number of policies, by kind, stage (unscheduled, scheduled, pending, active) and wanted mode (protect, monitor).",
		[]string{"kind", "policy_status", "mode"}, nil)
	policiesNotReady = prometheus.NewDesc("kubewarden_policies_not_ready",
		"Number of policies that are not enforced as their specs say, by kind and by the reason of the condition Ready.",
		[]string{"kind", "reason"}, nil)

	policiesPart = part{
		name:         "policies",
		descriptions: []*prometheus.Desc{policies, policiesNotReady},
		collect:      collectPolicies,
	}
)

// reasonNotSeen is the reason of a policy that the operator has not looked at yet.
const reasonNotSeen = "NotReconciled"

func collectPolicies(ctx context.Context, config Config, metrics chan<- prometheus.Metric) error {
	for _, kind := range index.PolicyKinds() {
		found, err := kind.List(ctx, config.Reader, shared)
		if err != nil {
			return err
		}
		type stage struct{ status, mode string }
		stages, reasons := map[stage]int{}, map[string]int{}
		for _, policy := range found {
			stages[stage{string(policy.GetStatus().PolicyStatus), string(policy.GetMode())}]++
			if reason, ready := readiness(policy.GetStatus().Conditions); !ready {
				reasons[reason]++
			}
		}
		for stage, count := range stages {
			metrics <- gauge(policies, float64(count), kind.Name, stage.status, stage.mode)
		}
		for reason, count := range reasons {
			metrics <- gauge(policiesNotReady, float64(count), kind.Name, reason)
		}
	}
	return nil
}

// readiness is what the condition Ready says.
func readiness(conditions []metav1.Condition) (reason string, ready bool) {
	condition := apimeta.FindStatusCondition(conditions, policiesv1.ConditionReady)
	if condition == nil {
		return reasonNotSeen, false
	}
	return condition.Reason, condition.Status == metav1.ConditionTrue
}
