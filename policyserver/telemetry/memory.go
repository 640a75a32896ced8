package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
)

// ObserveMemory adds what the engine holds of the container's memory. It is called once.
func (m *Metrics) ObserveMemory(budget *memory.Budget) {
	gauge := func(name, help string, labels prometheus.Labels, value func() int64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels},
			func() float64 { return float64(value()) }))
	}
	gauge("kubewarden_policy_server_memory_limit_bytes", "Memory limit of the container; 0 for none.", nil,
		func() int64 { return budget.Plan().Limit })
	for _, kind := range memory.Kinds() {
		labels := prometheus.Labels{"kind": kind.String()}
		gauge("kubewarden_policy_server_memory_held_bytes", "Memory that is counted for compiled modules, for instances of policies that are asked or wait, and for objects of the cluster that policies read.", labels,
			func() int64 { return budget.Usage(kind).Held })
		gauge("kubewarden_policy_server_memory_allowed_bytes", "What compiled modules, running policies and objects of the cluster may have; 0 for no bound.", labels,
			func() int64 { return budget.Usage(kind).Allowed })
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "kubewarden_policy_server_memory_refusals_total", ConstLabels: labels,
			Help: "Modules that had no room, times that a running policy got no more memory, and times that objects of the cluster had no room.",
		}, func() float64 { return float64(budget.Usage(kind).Refused) }))
	}
}
