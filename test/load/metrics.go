package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/kubewarden/kubewarden-operator/test/bench/floor"
)

// Metrics of the server that are read here.
const (
	metricEvaluations = "kubewarden_policy_evaluations_total"
	metricRequests    = "kubewarden_policy_server_requests_total"
	metricConnections = "kubewarden_policy_server_connections_opened_total"
)

// counters are what the server has counted since it began.
type counters struct {
	// evaluations are by policy, requests by status of the answer.
	evaluations, requests map[string]int64
	connections           int64
	// forgotten are policies that no evaluations are known of.
	forgotten map[string]bool
}

// scrape reads the metrics.
func scrape(ctx context.Context, address string) (counters, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", http.NoBody)
	if err != nil {
		return counters{}, fmt.Errorf("read metrics: %w", err)
	}
	transport := &http.Transport{DialContext: floor.DialLoopback}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Timeout: floor.RequestTimeout, Transport: transport}).Do(request)
	if err != nil {
		return counters{}, fmt.Errorf("read metrics: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return counters{}, fmt.Errorf("read metrics: %s", response.Status)
	}
	return parseCounters(response.Body)
}

// parseCounters reads Prometheus' text format. A counter that is not there is one that
// nothing was counted by; only the one of connections is there from the beginning.
func parseCounters(text io.Reader) (counters, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(text)
	if err != nil {
		return counters{}, fmt.Errorf("parse metrics: %w", err)
	}
	connections, there := families[metricConnections]
	if !there || len(connections.GetMetric()) != 1 {
		return counters{}, fmt.Errorf("parse metrics: %s is not there: are these metrics of a policy server?", metricConnections)
	}
	return counters{
		evaluations: sumBy(families[metricEvaluations], "policy_name"),
		requests:    sumBy(families[metricRequests], "status"),
		connections: int64(connections.GetMetric()[0].GetCounter().GetValue()),
	}, nil
}

// sumBy adds up the series of a counter that have the same value of a label.
func sumBy(family *dto.MetricFamily, label string) map[string]int64 {
	sums := map[string]int64{}
	for _, series := range family.GetMetric() {
		for _, pair := range series.GetLabel() {
			if pair.GetName() == label {
				sums[pair.GetValue()] += int64(series.GetCounter().GetValue())
			}
		}
	}
	return sums
}

// since is what was counted after an earlier look.
func (c counters) since(earlier counters) counters {
	less := func(now, before map[string]int64) map[string]int64 {
		difference := maps.Clone(now)
		for key, count := range before {
			difference[key] -= count
		}
		maps.DeleteFunc(difference, func(_ string, count int64) bool { return count == 0 })
		return difference
	}
	c.evaluations, c.requests = less(c.evaluations, earlier.evaluations), less(c.requests, earlier.requests)
	c.connections -= earlier.connections
	return c
}

// crossCheck holds what the server counted against what was received. Each difference is
// in the error.
func crossCheck(what string, counted, received map[string]int64) error {
	keys := slices.Collect(maps.Keys(counted))
	for key := range received {
		if _, there := counted[key]; !there {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	var differences []error
	for _, key := range keys {
		if counted[key] != received[key] {
			differences = append(differences, fmt.Errorf("%s of %s: the server counted %d, received were %d", what, key, counted[key], received[key]))
		}
	}
	return errors.Join(differences...)
}
