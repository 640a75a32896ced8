//go:build integration

package operator

import (
	"context"
	"errors"
	"testing"
)

func TestPoliciesAreCounted(t *testing.T) {
	shared.activate(t, "counted")
	want := map[string]string{"kind": "ClusterAdmissionPolicy", "policy_status": "active", "mode": "protect"}
	within(t, patience, func(context.Context) error {
		families, err := shared.registry.Gather()
		if err != nil {
			return err
		}
		for _, family := range families {
			if family.GetName() != "kubewarden_policies" {
				continue
			}
			for _, metric := range family.GetMetric() {
				matching := 0
				for _, label := range metric.GetLabel() {
					if want[label.GetName()] == label.GetValue() {
						matching++
					}
				}
				if matching == len(want) && metric.GetGauge().GetValue() >= 1 {
					return nil
				}
			}
		}
		return errors.New("there is no series of active policies")
	})
}
