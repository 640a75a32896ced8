package telemetry

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/evaluation"
)

// maxSeries bounds the combinations of labels of one policy. Those that come later are
// counted without kind, namespace and code, which leaves few.
const maxSeries = 1000

// series are the metrics of one combination of labels, found without hashing the labels for
// each request.
type series struct {
	evaluations prometheus.Counter
	latency     prometheus.Observer
}

// combination is what distinguishes the series of one policy.
type combination struct {
	mode                       contract.Mode
	origin                     evaluation.Origin
	kind, operation, namespace string
	accepted, mutated          bool
	code                       string
}

func (m *Metrics) combinationOf(of evaluation.Evaluation) combination {
	found := combination{
		mode: of.Mode, origin: of.Origin, accepted: of.Accepted, mutated: of.Mutated,
		kind: m.kinds.value(of.Kind), operation: operation(of.Operation), namespace: m.namespaces.value(of.Namespace),
	}
	if of.Code != nil {
		found.code = strconv.Itoa(int(*of.Code))
	}
	return found
}

// seriesOf finds the series of a combination, or makes it.
func (m *Metrics) seriesOf(policyID string, of combination) series {
	m.mu.RLock()
	found, known := m.series[policyID][of]
	m.mu.RUnlock()
	if known {
		return found
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.track(policyID)
	if len(all) >= maxSeries {
		of.kind, of.namespace, of.code = other(of.kind), other(of.namespace), other(of.code)
	}
	if found, known = all[of]; known {
		return found
	}
	labels := of.labels(policyID)
	found = series{latency: m.latency.WithLabelValues(labels...)}
	found.evaluations = m.evaluations.WithLabelValues(append(labels, of.namespace, of.code, "")...)
	all[of] = found
	return found
}

// track remembers that a policy has series. The lock is the caller's.
func (m *Metrics) track(policyID string) map[combination]series {
	all := m.series[policyID]
	if all == nil {
		all = map[combination]series{}
		m.series[policyID] = all
	}
	return all
}

// other keeps an absent label absent.
func other(value string) string {
	if value == "" {
		return ""
	}
	return Other
}

// labels gives the values of latencyLabels. A raw request has neither kind nor operation
// nor, in upstream's metrics, an origin.
func (c combination) labels(policyID string) []string {
	origin := string(c.origin)
	if c.origin == evaluation.OriginRaw {
		origin = ""
	}
	labels := make([]string, 0, len(evaluationLabels))
	return append(labels, policyID, string(c.mode), c.kind, c.operation,
		strconv.FormatBool(c.accepted), strconv.FormatBool(c.mutated), origin)
}

// operation is one of the few that an API server knows.
func operation(name string) string {
	switch name {
	case "", "CREATE", "UPDATE", "DELETE", "CONNECT":
		return name
	default:
		return Other
	}
}
