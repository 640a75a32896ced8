package controllers

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/controllers/index"
)

// scrapeTimeout bounds the reading of the caches for one scrape.
const scrapeTimeout = 5 * time.Second

// policyCollector counts policies at the moment of a scrape, from the caches. Upstream's
// counter kubewarden_policy_total grows with every reconcile and counts nothing that a
// user could name; it has no successor under its own name.
type policyCollector struct {
	reader   client.Reader
	logger   logr.Logger
	policies *prometheus.Desc
}

var _ prometheus.Collector = (*policyCollector)(nil)

func newPolicyCollector(reader client.Reader, logger logr.Logger) *policyCollector {
	return &policyCollector{
		reader: reader,
		logger: logger,
		policies: prometheus.NewDesc("kubewarden_policies",
			"Number of policies, by kind, stage (scheduled, pending, active) and wanted mode (protect, monitor).",
			[]string{"kind", "policy_status", "mode"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *policyCollector) Describe(descriptions chan<- *prometheus.Desc) { descriptions <- c.policies }

// Collect implements prometheus.Collector.
func (c *policyCollector) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	type group struct{ status, mode string }
	for _, kind := range index.PolicyKinds() {
		policies, err := kind.List(ctx, c.reader)
		if err != nil {
			c.logger.Error(err, "Could not count policies for a scrape", "kind", kind.Name)
			continue
		}
		counts := map[group]int{}
		for _, policy := range policies {
			counts[group{string(policy.GetStatus().PolicyStatus), string(policy.GetMode())}]++
		}
		for group, count := range counts {
			metrics <- prometheus.MustNewConstMetric(c.policies, prometheus.GaugeValue,
				float64(count), kind.Name, group.status, group.mode)
		}
	}
}
