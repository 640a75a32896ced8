package controllers

import (
	"fmt"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/kubewarden/kubewarden-operator/controllers/metrics"
)

// registerMetrics has the operator's own metrics read from the caches of the manager.
func registerMetrics(manager ctrl.Manager, config Config) error {
	collector := metrics.NewCollector(metrics.Config{
		Reader: manager.GetClient(), Namespace: config.Render.Namespace, Logger: config.Logger.WithName("metrics"),
	})
	if err := config.Registry.Register(collector); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}
