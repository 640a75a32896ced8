package telemetry

import (
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/evaluation"
)

// Path is where Prometheus finds the metrics.
const Path = "/metrics"

// How many values a label may have that requests choose.
const (
	maxKinds      = 300
	maxNamespaces = 200
)

// Labels of upstream's two metrics. An unset label is "", which Prometheus takes for
// absent. The histogram goes without namespace and error code: they would multiply its
// buckets, and no dashboard of upstream's reads them there.
var (
	latencyLabels    = []string{"policy_name", "policy_mode", "resource_kind", "resource_request_operation", "accepted", "mutated", "request_origin"}
	evaluationLabels = append(slices.Clip(latencyLabels), "resource_namespace", "error_code", "initialization_error")
)

// latencyBuckets are upstream's and others between them, in milliseconds: from 0.1 ms, since
// most evaluations take less than upstream's first, to 10 s, and each at most two thirds
// above the one below it, so that a percentile read from them is about right.
var latencyBuckets = []float64{
	0, 0.1, 0.15, 0.25, 0.4, 0.6, 1, 1.5, 2.5, 4, 5, 7.5, 10, 15, 25, 40, 50, 75, 100, 150, 250, 400, 500, 750,
	1000, 1500, 2500, 4000, 5000, 7500, 10000,
}

// Metrics are the metrics of one policy server. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	evaluations *prometheus.CounterVec
	latency     *prometheus.HistogramVec
	loaded      prometheus.Gauge
	failed      *prometheus.GaugeVec
	prepared    *prometheus.HistogramVec
	reloads     *prometheus.CounterVec
	traffic

	kinds, namespaces *bounded

	mu sync.RWMutex
	// series are those of evaluations, by policy.
	series map[string]map[combination]series
}

var (
	_ evaluation.Observer     = (*Metrics)(nil)
	_ evaluation.LoadObserver = (*Metrics)(nil)
)

// NewMetrics makes the metrics of a server of a version.
func NewMetrics(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		evaluations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubewarden_policy_evaluations_total",
			Help: "Verdicts of policies, before mode, mutation rule and custom message.",
		}, evaluationLabels),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{ //nolint:promlinter // upstream's name and unit
			Name:    "kubewarden_policy_evaluation_latency_milliseconds",
			Help:    "Time that policies took for their verdicts, without waiting for a worker.",
			Buckets: latencyBuckets,
		}, latencyLabels),
		loaded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "kubewarden_policy_server_policies_loaded",
			Help: "Policies of which a revision is served.",
		}),
		failed: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "kubewarden_policy_server_policies_failed",
			Help: "Policies whose wanted revision is not served, by reason.",
		}, []string{"reason"}),
		prepared: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "kubewarden_policy_server_policy_prepare_seconds",
			Help:    "Time of the steps of preparing a policy: fetch, compile, settings.",
			Buckets: []float64{0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120},
		}, []string{"step"}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubewarden_policy_server_certificate_reloads_total",
			Help: "Attempts to load the serving certificate again, by result.",
		}, []string{"result"}),
		traffic:    newTraffic(),
		kinds:      newBounded(maxKinds),
		namespaces: newBounded(maxNamespaces),
		series:     map[string]map[combination]series{},
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "kubewarden_policy_server_build_info",
		Help:        "Always 1; the version is a label.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	info.Set(1)
	m.registry.MustRegister(m.collectors()...)
	m.registry.MustRegister(m.evaluations, m.latency, m.loaded, m.failed, m.prepared, m.reloads, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Describe says which metrics there are, as prometheus.Collector does.
func (m *Metrics) Describe(descriptions chan<- *prometheus.Desc) { m.registry.Describe(descriptions) }

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+Path, promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	return mux
}

// Evaluated counts a verdict.
func (m *Metrics) Evaluated(evaluation evaluation.Evaluation) {
	series := m.seriesOf(evaluation.PolicyID, m.combinationOf(evaluation))
	series.latency.Observe(float64(evaluation.Latency) / float64(time.Millisecond))
	series.evaluations.Inc()
}

// NotLoaded counts a request to a policy of which no revision could be loaded. Upstream's
// label holds the whole error; here it is the reason, of which there are few.
func (m *Metrics) NotLoaded(policyID string, reason contract.Reason) {
	m.mu.Lock()
	m.track(policyID)
	m.mu.Unlock()
	m.evaluations.WithLabelValues(policyID, "", "", "", "", "", "", "", "", string(reason)).Inc()
}

// Prepared records a step of preparing a policy.
func (m *Metrics) Prepared(step evaluation.Step, took time.Duration) {
	m.prepared.WithLabelValues(string(step)).Observe(took.Seconds())
}

// SetChanged records what is served, and forgets the series of policies that are gone.
func (m *Metrics) SetChanged(snapshot evaluation.Snapshot) {
	m.loaded.Set(float64(len(snapshot.Policies)))
	m.failed.Reset()
	present := make(map[string]bool, len(snapshot.Policies)+len(snapshot.Failures)+len(snapshot.Members))
	for id := range snapshot.Policies {
		present[id] = true
	}
	for _, id := range snapshot.Members {
		present[id] = true
	}
	for id, failure := range snapshot.Failures {
		present[id] = true
		m.failed.WithLabelValues(string(failure.Reason)).Inc()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for id := range m.series {
		if !present[id] {
			delete(m.series, id)
			m.evaluations.DeletePartialMatch(prometheus.Labels{"policy_name": id})
			m.latency.DeletePartialMatch(prometheus.Labels{"policy_name": id})
		}
	}
}

// CertificateLoaded counts an attempt to load the serving certificate.
func (m *Metrics) CertificateLoaded(err error) {
	result := "success"
	if err != nil {
		result = "error"
	}
	m.reloads.WithLabelValues(result).Inc()
}
