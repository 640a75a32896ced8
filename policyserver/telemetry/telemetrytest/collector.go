package telemetrytest

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"

	collectorlogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// Collector keeps what was sent to it.
type Collector struct {
	// Address is host:port.
	Address string

	mu      sync.Mutex
	spans   []*trace.ResourceSpans
	metrics []*metrics.ResourceMetrics
	logs    []*logs.ResourceLogs
}

// Start runs a collector until the test ends. The options can give it TLS.
func Start(t *testing.T, options ...grpc.ServerOption) *Collector {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Collector{Address: listener.Addr().String()}
	server := grpc.NewServer(options...)
	collectortrace.RegisterTraceServiceServer(server, traceService{c: c})
	collectormetrics.RegisterMetricsServiceServer(server, metricsService{c: c})
	collectorlogs.RegisterLogsServiceServer(server, logsService{c: c})
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return c
}

type traceService struct {
	collectortrace.UnimplementedTraceServiceServer

	c *Collector
}

func (s traceService) Export(_ context.Context, request *collectortrace.ExportTraceServiceRequest) (*collectortrace.ExportTraceServiceResponse, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.spans = append(s.c.spans, request.GetResourceSpans()...)
	return &collectortrace.ExportTraceServiceResponse{}, nil
}

type metricsService struct {
	collectormetrics.UnimplementedMetricsServiceServer

	c *Collector
}

func (s metricsService) Export(_ context.Context, request *collectormetrics.ExportMetricsServiceRequest) (*collectormetrics.ExportMetricsServiceResponse, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.metrics = append(s.c.metrics, request.GetResourceMetrics()...)
	return &collectormetrics.ExportMetricsServiceResponse{}, nil
}

type logsService struct {
	collectorlogs.UnimplementedLogsServiceServer

	c *Collector
}

func (s logsService) Export(_ context.Context, request *collectorlogs.ExportLogsServiceRequest) (*collectorlogs.ExportLogsServiceResponse, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.logs = append(s.c.logs, request.GetResourceLogs()...)
	return &collectorlogs.ExportLogsServiceResponse{}, nil
}

// Spans are all spans that came so far.
func (c *Collector) Spans() []*trace.ResourceSpans {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// Metrics are all metrics that came so far, each time that they came.
func (c *Collector) Metrics() []*metrics.ResourceMetrics {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.metrics)
}

// Logs are all log records that came so far.
func (c *Collector) Logs() []*logs.ResourceLogs {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.logs)
}

// Text writes attributes as "key=value", in the order in which they came; strings in quotes.
func Text(attributes []*common.KeyValue) []string {
	lines := make([]string, 0, len(attributes))
	for _, attribute := range attributes {
		lines = append(lines, attribute.GetKey()+"="+valueText(attribute.GetValue()))
	}
	return lines
}

func valueText(value *common.AnyValue) string {
	switch value := value.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return fmt.Sprintf("%q", value.StringValue)
	case *common.AnyValue_BoolValue:
		return fmt.Sprint(value.BoolValue)
	case *common.AnyValue_IntValue:
		return fmt.Sprint(value.IntValue)
	case *common.AnyValue_DoubleValue:
		return fmt.Sprint(value.DoubleValue)
	default:
		return fmt.Sprint(value)
	}
}
