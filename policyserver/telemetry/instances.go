package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
)

// instances asks an engine when the metrics are asked for.
type instances struct {
	stats func() policy.Stats
}

// figures are those of policy.Stats that are numbers.
var figures = []struct {
	description *prometheus.Desc
	kind        prometheus.ValueType
	of          func(policy.Stats) float64
}{
	{
		describe("instances_idle", "Instances of policies that wait for a request."), prometheus.GaugeValue,
		func(stats policy.Stats) float64 { return float64(stats.Idle) },
	},
	{
		describe("calls_waiting", "Calls of policies that wait for a processor."), prometheus.GaugeValue,
		func(stats policy.Stats) float64 { return float64(stats.Waiting) },
	},
	{
		describe("policies_warm", "Policies that have warm instances."), prometheus.GaugeValue,
		func(stats policy.Stats) float64 { return float64(stats.Warm) },
	},
	{
		describe("instances_made_total", "Instances that were made to be put back after each request."), prometheus.CounterValue,
		func(stats policy.Stats) float64 { return float64(stats.Made) },
	},
	{
		describe("instances_made_fresh_total", "Instances that were made for one request."), prometheus.CounterValue,
		func(stats policy.Stats) float64 { return float64(stats.Fresh) },
	},
	{
		describe("instance_restores_total", "Times that an instance was put back."), prometheus.CounterValue,
		func(stats policy.Stats) float64 { return float64(stats.Restores) },
	},
	{
		describe("instance_restored_pages_total", "Pages of memory that were written to put instances back."), prometheus.CounterValue,
		func(stats policy.Stats) float64 { return float64(stats.Pages) },
	},
	{
		describe("instance_restore_failures_total", "Instances that could not be put back and were given up."), prometheus.CounterValue,
		func(stats policy.Stats) float64 { return float64(stats.Failed) },
	},
	{
		describe("instances_reclaimed_total", "Instances that were given up because a policy needed memory."), prometheus.CounterValue,
		func(stats policy.Stats) float64 { return float64(stats.Reclaimed) },
	},
	{
		describe("datasets", "Data of policies that instances have read before they are called."), prometheus.GaugeValue,
		func(stats policy.Stats) float64 { return float64(stats.Datasets) },
	},
	{
		describe("dataset_bytes", "Memory that instances share which have read the same data."), prometheus.GaugeValue,
		func(stats policy.Stats) float64 { return float64(stats.DatasetBytes) },
	},
	{
		describe("datasets_made_total", "Times that data was read for many requests together."), prometheus.CounterValue,
		func(stats policy.Stats) float64 { return float64(stats.DatasetsMade) },
	},
	{
		describe("datasets_without_room_total", "Times that data could not be kept and is read anew for each request."), prometheus.CounterValue,
		func(stats policy.Stats) float64 { return float64(stats.WithoutDataset) },
	},
	{
		describe("module_compilations_total", "Modules that were compiled."), prometheus.CounterValue,
		func(stats policy.Stats) float64 { return float64(stats.Compiled) },
	},
	{
		describe("module_compilation_cache_hits_total", "Modules whose machine code was in the compilation cache."), prometheus.CounterValue,
		func(stats policy.Stats) float64 { return float64(stats.FromCache) },
	},
	{
		describe("module_compilation_seconds_total", "Time that modules took to compile, or to be found in the compilation cache."), prometheus.CounterValue,
		func(stats policy.Stats) float64 { return stats.CompileTime.Seconds() },
	},
}

func describe(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("kubewarden_policy_server_"+name, help, nil, nil)
}

var isolationDescription = prometheus.NewDesc("kubewarden_policy_server_isolation",
	"Always 1; labels say how each request gets an instance of its policy, and how the memory of instances is put back.",
	[]string{"isolation", "method"}, nil)

var (
	takenDescription = prometheus.NewDesc("kubewarden_policy_server_instances_taken_total",
		"Instances that were handed out for a request, by what they were before.", []string{"mode"}, nil)
	notWarmDescription = prometheus.NewDesc("kubewarden_policy_server_policies_not_warm_total",
		"Policies that were to have warm instances and have none, by reason.", []string{"reason"}, nil)
)

// ObserveEngine adds how an engine's modules get their instances. It is called once.
func (m *Metrics) ObserveEngine(stats func() policy.Stats) {
	m.registry.MustRegister(instances{stats})
}

// Describe is that of prometheus.Collector.
func (instances) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- isolationDescription
	descriptions <- takenDescription
	descriptions <- notWarmDescription
	for _, figure := range figures {
		descriptions <- figure.description
	}
}

// Collect is that of prometheus.Collector.
func (i instances) Collect(metrics chan<- prometheus.Metric) {
	stats := i.stats()
	metrics <- prometheus.MustNewConstMetric(isolationDescription, prometheus.GaugeValue, 1, string(stats.Isolation), stats.Method)
	for mode, count := range stats.Taken {
		metrics <- prometheus.MustNewConstMetric(takenDescription, prometheus.CounterValue, float64(count), string(mode))
	}
	for reason, count := range stats.NotWarm {
		metrics <- prometheus.MustNewConstMetric(notWarmDescription, prometheus.CounterValue, float64(count), string(reason))
	}
	for _, figure := range figures {
		metrics <- prometheus.MustNewConstMetric(figure.description, figure.kind, figure.of(stats))
	}
}
