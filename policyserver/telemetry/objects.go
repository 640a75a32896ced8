package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubewarden/kubewarden-operator/policyserver/kube/objects"
)

// objectsCollector tells what is held of the cluster for policies.
type objectsCollector struct {
	usage         func() []objects.Usage
	number, bytes *prometheus.Desc
}

// ObserveObjects adds what is held of each kind of objects that policies read. There are no
// more kinds than policies declare. It is called once.
func (m *Metrics) ObserveObjects(usage func() []objects.Usage) {
	labels := []string{"api_version", "resource_kind"}
	m.registry.MustRegister(&objectsCollector{
		usage: usage,
		number: prometheus.NewDesc("kubewarden_policy_server_context_objects",
			"Objects of the cluster that are kept for policies that read them.", labels, nil),
		bytes: prometheus.NewDesc("kubewarden_policy_server_context_bytes",
			"Memory, about, of the objects of the cluster that are kept for policies.", labels, nil),
	})
}

// Describe implements prometheus.Collector.
func (c *objectsCollector) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- c.number
	descriptions <- c.bytes
}

// Collect implements prometheus.Collector.
func (c *objectsCollector) Collect(metrics chan<- prometheus.Metric) {
	for _, held := range c.usage() {
		metrics <- prometheus.MustNewConstMetric(c.number, prometheus.GaugeValue, float64(held.Objects), held.APIVersion, held.Kind)
		metrics <- prometheus.MustNewConstMetric(c.bytes, prometheus.GaugeValue, float64(held.Bytes), held.APIVersion, held.Kind)
	}
}
