package metrics

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// scrapeTimeout bounds the reading of the caches for one scrape.
const scrapeTimeout = 5 * time.Second

// shared has a list read without a copy of every object. Nothing that is read for a scrape
// is changed.
const shared = client.UnsafeDisableDeepCopy

// Config is what the metrics are read from.
type Config struct {
	// Reader reads from the caches of the manager.
	Reader client.Reader
	// Namespace is the operator's own.
	Namespace string
	// Logger takes what could not be read.
	Logger logr.Logger
}

// Collector tells, at the moment of a scrape, what the caches hold.
type Collector struct {
	Config
	parts []part
}

var _ prometheus.Collector = (*Collector)(nil)

// part is one subject.
type part struct {
	name         string
	descriptions []*prometheus.Desc
	collect      func(ctx context.Context, config Config, metrics chan<- prometheus.Metric) error
}

// NewCollector returns a Collector for one registry.
func NewCollector(config Config) *Collector {
	return &Collector{Config: config, parts: []part{installationPart, auditPart, policiesPart, serversPart, certificatesPart}}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, part := range c.parts {
		for _, description := range part.descriptions {
			descriptions <- description
		}
	}
}

// Collect implements prometheus.Collector. What cannot be read is left out of the scrape,
// so that an alert about its absence can tell.
func (c *Collector) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	for _, part := range c.parts {
		if err := part.collect(ctx, c.Config, metrics); err != nil {
			c.Logger.Error(err, "Could not read the caches for a scrape", "subject", part.name)
		}
	}
}

// gauge is a metric without memory.
func gauge(description *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(description, prometheus.GaugeValue, value, labels...)
}

// truth is how Prometheus is told of yes and no.
func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
