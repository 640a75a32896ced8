package metrics

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
)

var (
	installations = prometheus.NewDesc("kubewarden_installations",
		"Number of Kubewardens, 0 or 1. Without one nothing is enforced.", nil, nil)
	installationCondition = prometheus.NewDesc("kubewarden_installation_condition",
		"Whether a condition of the Kubewarden is True.", []string{"condition"}, nil)
	suspended = prometheus.NewDesc("kubewarden_enforcement_suspended",
		"Whether the Kubewarden says that no policy is to be enforced.", nil, nil)
	rekeyingStep = prometheus.NewDesc("kubewarden_rekeying_step",
		"Step of four by which another certificate authority takes over; 0 while none does.", nil, nil)
	installationPart = part{
		name:         "installation",
		descriptions: []*prometheus.Desc{installations, installationCondition, suspended, rekeyingStep},
		collect:      collectInstallation,
	}
)

func collectInstallation(ctx context.Context, config Config, metrics chan<- prometheus.Metric) error {
	var found operatorv1alpha1.KubewardenList
	if err := config.Reader.List(ctx, &found, shared); err != nil {
		return fmt.Errorf("list Kubewardens: %w", err)
	}
	metrics <- gauge(installations, float64(len(found.Items)))
	// There is at most one: the schema knows one name.
	for i := range found.Items {
		kubewarden := &found.Items[i]
		metrics <- gauge(suspended, truth(kubewarden.Spec.Enforcement == operatorv1alpha1.EnforcementSuspended))
		step := int32(0)
		if kubewarden.Status.Rekeying != nil {
			step = kubewarden.Status.Rekeying.Step
		}
		metrics <- gauge(rekeyingStep, float64(step))
		for _, condition := range kubewarden.Status.Conditions {
			metrics <- gauge(installationCondition, truth(condition.Status == metav1.ConditionTrue), condition.Type)
		}
	}
	return nil
}
