//go:build integration

package operator

import (
	"context"
	"fmt"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// What the operator tells comes out of the very caches that its reconcilers read: a kind
// that they do not hold would be missing here.
func TestMetricsTellOfTheCluster(t *testing.T) {
	shared.activate(t, "counted")
	for _, want := range []struct {
		name   string
		labels map[string]string
		least  float64
	}{
		{"kubewarden_installations", nil, 1},
		{"kubewarden_installation_condition", map[string]string{"condition": "CertificatesReady"}, 1},
		{"kubewarden_enforcement_suspended", nil, 0},
		{"kubewarden_policies", map[string]string{"kind": "ClusterAdmissionPolicy", "policy_status": "active", "mode": "protect"}, 1},
		{"kubewarden_policy_server_ready", map[string]string{"policy_server": "counted"}, 0},
		{"kubewarden_policy_server_replicas_wanted", map[string]string{"policy_server": "counted"}, 1},
		{"kubewarden_policy_server_replicas_ready", map[string]string{"policy_server": "counted"}, 1},
		{"kubewarden_policy_server_replicas_up_to_date", map[string]string{"policy_server": "counted"}, 1},
		{"kubewarden_certificate_expiry_timestamp_seconds", map[string]string{"secret": render.SecretCA}, 1},
		{"kubewarden_certificate_expiry_timestamp_seconds", map[string]string{"secret": render.ServingSecretName("counted")}, 1},
	} {
		within(t, patience, func(context.Context) error {
			for _, metric := range gathered(t, want.name) {
				if hasLabels(metric, want.labels) && metric.GetGauge().GetValue() >= want.least {
					return nil
				}
			}
			return fmt.Errorf("there is no series %s with the labels %v of at least %v", want.name, want.labels, want.least)
		})
	}
}

// gathered are the series of a metric of the operator.
func gathered(t *testing.T, name string) []*dto.Metric {
	t.Helper()
	families, err := shared.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()
		}
	}
	return nil
}

func hasLabels(metric *dto.Metric, want map[string]string) bool {
	matching := 0
	for _, label := range metric.GetLabel() {
		if want[label.GetName()] == label.GetValue() {
			matching++
		}
	}
	return matching == len(want)
}
