package telemetry

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// producer gives what Prometheus scrapes to OpenTelemetry: both see the same numbers,
// counted once, under the same names. The scope and the types of attributes are upstream's.
type producer struct {
	gatherer prometheus.Gatherer
	version  string
	// started is when the counters began that do not know it themselves.
	started time.Time
	now     func() time.Time
}

var _ sdkmetric.Producer = producer{}

// Produce reads all metrics.
func (p producer) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	families, err := p.gatherer.Gather()
	if err != nil {
		err = fmt.Errorf("gather metrics: %w", err)
	}
	metrics := make([]metricdata.Metrics, 0, len(families))
	for _, family := range families {
		if data := p.convert(family); data != nil {
			metrics = append(metrics, metricdata.Metrics{Name: family.GetName(), Description: family.GetHelp(), Data: data})
		}
	}
	scope := instrumentation.Scope{Name: meterName, Version: p.version}
	return []metricdata.ScopeMetrics{{Scope: scope, Metrics: metrics}}, err
}

// convert knows the kinds of metrics that there are here; nil for others.
func (p producer) convert(family *dto.MetricFamily) metricdata.Aggregation {
	now := p.now()
	switch family.GetType() {
	case dto.MetricType_COUNTER:
		return p.counter(family, now)
	case dto.MetricType_GAUGE:
		gauge := metricdata.Gauge[float64]{}
		for _, metric := range family.GetMetric() {
			gauge.DataPoints = append(gauge.DataPoints, metricdata.DataPoint[float64]{
				Attributes: attributesOf(metric), Time: now, Value: metric.GetGauge().GetValue(),
			})
		}
		return gauge
	case dto.MetricType_HISTOGRAM:
		histogram := metricdata.Histogram[float64]{Temporality: metricdata.CumulativeTemporality}
		for _, metric := range family.GetMetric() {
			histogram.DataPoints = append(histogram.DataPoints, p.histogram(metric, now))
		}
		return histogram
	default:
		return nil
	}
}

// counter counts in whole numbers where the metric is of our own, as upstream's counter
// does; the libraries count seconds, too.
func (p producer) counter(family *dto.MetricFamily, now time.Time) metricdata.Aggregation {
	if strings.HasPrefix(family.GetName(), "kubewarden_") {
		return sum(p, family, now, func(value float64) int64 { return int64(value) })
	}
	return sum(p, family, now, func(value float64) float64 { return value })
}

func sum[N int64 | float64](p producer, family *dto.MetricFamily, now time.Time, number func(float64) N) metricdata.Sum[N] {
	sum := metricdata.Sum[N]{Temporality: metricdata.CumulativeTemporality, IsMonotonic: true}
	for _, metric := range family.GetMetric() {
		counter := metric.GetCounter()
		sum.DataPoints = append(sum.DataPoints, metricdata.DataPoint[N]{
			Attributes: attributesOf(metric), StartTime: p.began(counter.GetCreatedTimestamp().AsTime()), Time: now,
			Value: number(counter.GetValue()),
		})
	}
	return sum
}

// histogram turns counts of everything below a bound into counts between bounds.
func (p producer) histogram(metric *dto.Metric, now time.Time) metricdata.HistogramDataPoint[float64] {
	histogram := metric.GetHistogram()
	point := metricdata.HistogramDataPoint[float64]{
		Attributes: attributesOf(metric), StartTime: p.began(histogram.GetCreatedTimestamp().AsTime()), Time: now,
		Count: histogram.GetSampleCount(), Sum: histogram.GetSampleSum(),
	}
	below := uint64(0)
	for _, bucket := range histogram.GetBucket() {
		point.Bounds = append(point.Bounds, bucket.GetUpperBound())
		point.BucketCounts = append(point.BucketCounts, bucket.GetCumulativeCount()-below)
		below = bucket.GetCumulativeCount()
	}
	point.BucketCounts = append(point.BucketCounts, point.Count-below)
	return point
}

// began is when a counter began to count; an unset time is at the epoch.
func (p producer) began(created time.Time) time.Time {
	if created.Unix() <= 0 {
		return p.started
	}
	return created
}

// attributesOf gives the labels of a metric the types of upstream's attributes. An empty
// label is an absent one.
func attributesOf(metric *dto.Metric) attribute.Set {
	attributes := make([]attribute.KeyValue, 0, len(metric.GetLabel()))
	for _, label := range metric.GetLabel() {
		key, value := label.GetName(), label.GetValue()
		if value == "" {
			continue
		}
		attributes = append(attributes, typed(key, value))
	}
	return attribute.NewSet(attributes...)
}

func typed(key, value string) attribute.KeyValue {
	switch key {
	case "accepted", "mutated":
		if truth, err := strconv.ParseBool(value); err == nil {
			return attribute.Bool(key, truth)
		}
	case "error_code":
		if number, err := strconv.Atoi(value); err == nil {
			return attribute.Int(key, number)
		}
	}
	return attribute.String(key, value)
}
