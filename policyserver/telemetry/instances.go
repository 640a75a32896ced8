package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
)

// instances asks an engine when the metrics are asked for.
type instances struct {
	stats func() policy.Stats
}

var isolationDescription = prometheus.NewDesc("kubewarden_policy_server_isolation",
	"Always 1; labels say how each request gets an instance of its policy, and how the memory of instances is put back.",
	[]string{"isolation", "method"}, nil)

// ObserveEngine adds how an engine's modules get their instances. It is called once.
func (m *Metrics) ObserveEngine(stats func() policy.Stats) {
	m.registry.MustRegister(instances{stats})
}

// Describe is that of prometheus.Collector.
func (instances) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- isolationDescription
}

// Collect is that of prometheus.Collector.
func (i instances) Collect(metrics chan<- prometheus.Metric) {
	stats := i.stats()
	metrics <- prometheus.MustNewConstMetric(isolationDescription, prometheus.GaugeValue, 1, string(stats.Isolation), stats.Method)
}
