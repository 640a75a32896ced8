//go:build integration

package operator

import (
	"context"
	"errors"
	"slices"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

func TestPoliciesAreCounted(t *testing.T) {
	shared.activate(t, "counted")
	want := map[string]string{"kind": "ClusterAdmissionPolicy", "policy_status": "active", "mode": "protect"}
	isWanted := func(metric *dto.Metric) bool {
		matching := 0
		for _, label := range metric.GetLabel() {
			if want[label.GetName()] == label.GetValue() {
				matching++
			}
		}
		return matching == len(want) && metric.GetGauge().GetValue() >= 1
	}
	within(t, patience, func(context.Context) error {
		families, err := shared.registry.Gather()
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(families, func(family *dto.MetricFamily) bool {
			return family.GetName() == "kubewarden_policies" && slices.ContainsFunc(family.GetMetric(), isWanted)
		}) {
			return errors.New("there is no series of active policies")
		}
		return nil
	})
}
