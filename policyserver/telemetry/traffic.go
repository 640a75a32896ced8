package telemetry

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubewarden/kubewarden-operator/policyserver/fetch"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/server"
)

// traffic are the metrics of requests as a whole, of who waits, and of what the server asks
// for in turn.
type traffic struct {
	inFlight    prometheus.Gauge
	rejections  *prometheus.CounterVec
	requests    *prometheus.CounterVec
	duration    *prometheus.HistogramVec
	queued      prometheus.Histogram
	busy        prometheus.Gauge
	workers     prometheus.Gauge
	connections prometheus.Gauge
	opened      prometheus.Counter
	hostCalls   *prometheus.HistogramVec
	modules     *prometheus.CounterVec
	clients     *prometheus.CounterVec
}

var (
	_ server.LoadObserver       = (*Metrics)(nil)
	_ server.ConnectionObserver = (*Metrics)(nil)
	_ host.Observer             = (*Metrics)(nil)
)

// seconds are latencyBuckets in seconds.
func seconds() []float64 {
	buckets := make([]float64, 0, len(latencyBuckets))
	for _, milliseconds := range latencyBuckets[1:] { // nothing takes no time
		buckets = append(buckets, milliseconds/1000)
	}
	return buckets
}

func newTraffic() traffic {
	return traffic{
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "kubewarden_policy_server_requests_in_flight",
			Help: "Requests that are being read, wait for a worker, or are evaluated.",
		}),
		rejections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubewarden_policy_server_requests_rejected_total",
			Help: "Requests answered with 503 because the queue was full or no worker came free.",
		}, []string{"reason"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubewarden_policy_server_requests_total",
			Help: "Requests for a verdict, by endpoint and status of the answer.",
		}, []string{"endpoint", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "kubewarden_policy_server_request_duration_seconds",
			Help:    "Time from the headers of a request to its answer, waiting included.",
			Buckets: seconds(),
		}, []string{"endpoint"}),
		queued: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "kubewarden_policy_server_queue_wait_seconds",
			Help:    "Time that requests waited for a worker, of those that got one.",
			Buckets: seconds(),
		}),
		busy: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "kubewarden_policy_server_workers_busy",
			Help: "Requests that are being evaluated.",
		}),
		workers: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "kubewarden_policy_server_workers",
			Help: "Requests that can be evaluated at the same time.",
		}),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "kubewarden_policy_server_connections",
			Help: "Open connections to the API port.",
		}),
		opened: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "kubewarden_policy_server_connections_opened_total",
			Help: "Connections to the API port that were opened.",
		}),
		hostCalls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "kubewarden_policy_server_host_call_duration_seconds",
			Help:    "Time of what policies asked of the host, by capability and result.",
			Buckets: seconds(),
		}, []string{"capability", "result"}),
		modules: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubewarden_policy_server_modules_found_total",
			Help: "Modules that policies were given, by where they were: in memory, in the store, at their source.",
		}, []string{"place"}),
		clients: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubewarden_policy_server_clients_total",
			Help: "Connections to an API port that asks for certificates, by what was brought: accepted, own (operator or audit scanner), without, invalid.",
		}, []string{"certificate"}),
	}
}

func (t *traffic) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		t.inFlight, t.rejections, t.requests, t.duration, t.queued, t.busy, t.workers, t.connections, t.opened, t.hostCalls, t.modules, t.clients,
	}
}

// SetWorkers records how many requests can be evaluated at the same time.
func (m *Metrics) SetWorkers(workers int) { m.workers.Set(float64(workers)) }

// RequestStarted and RequestEnded keep the number of requests in flight.
func (m *Metrics) RequestStarted() { m.inFlight.Inc() }

// RequestEnded ends what RequestStarted began.
func (m *Metrics) RequestEnded(answered server.Answered) {
	m.inFlight.Dec()
	m.requests.WithLabelValues(answered.Endpoint, strconv.Itoa(answered.Status)).Inc()
	m.duration.WithLabelValues(answered.Endpoint).Observe(answered.Took.Seconds())
}

// WorkStarted and WorkEnded keep the number of workers that are busy.
func (m *Metrics) WorkStarted(waited time.Duration) {
	m.busy.Inc()
	m.queued.Observe(waited.Seconds())
}

// WorkEnded ends what WorkStarted began.
func (m *Metrics) WorkEnded() { m.busy.Dec() }

// Overloaded counts a request that was sent away; reason is one of a few words.
func (m *Metrics) Overloaded(reason string) { m.rejections.WithLabelValues(reason).Inc() }

// ConnectionOpened and ConnectionClosed keep the number of connections.
func (m *Metrics) ConnectionOpened() {
	m.connections.Inc()
	m.opened.Inc()
}

// ConnectionClosed ends what ConnectionOpened began.
func (m *Metrics) ConnectionClosed() { m.connections.Dec() }

// HostCalled records a call of the host; the capability is one of those that there are.
func (m *Metrics) HostCalled(capability string, result host.Result, took time.Duration) {
	m.hostCalls.WithLabelValues(capability, string(result)).Observe(took.Seconds())
}

// ClientSeen counts a connection whose client was asked for a certificate.
func (m *Metrics) ClientSeen(verdict server.ClientVerdict) {
	m.clients.WithLabelValues(string(verdict)).Inc()
}

// ModuleInMemory counts a policy whose module is compiled already.
func (m *Metrics) ModuleInMemory() { m.modules.WithLabelValues("memory").Inc() }

// ModuleFetched counts a module that is there now.
func (m *Metrics) ModuleFetched(from fetch.Place) { m.modules.WithLabelValues(string(from)).Inc() }
