package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Names that a collector sees; upstream's.
const (
	serviceName = "kubewarden-policy-server"
	meterName   = "kubewarden"
)

// PushConfig is what a Push is made from.
type PushConfig struct {
	// Metrics, Traces and Logs say what is pushed. Where to, how often and with which
	// certificates the libraries of OpenTelemetry read from the OTEL_* variables.
	Metrics, Traces, Logs bool
	// Host is the name of this process's machine or Pod; "" means unknown.
	Host string
	// Version is that of the binary.
	Version string
	// Logger hears that pushing fails. Its lines must not be pushed.
	Logger *slog.Logger
	Now    func() time.Time
}

// Push sends metrics, traces and logs to a collector by OTLP over gRPC. A nil Push sends
// nothing. It never makes a request wait: what a collector does not take is dropped, and
// a log line says so, once a minute at most.
type Push struct {
	config   PushConfig
	resource *resource.Resource
	metrics  *sdkmetric.MeterProvider
	traces   *sdktrace.TracerProvider
	logs     *sdklog.LoggerProvider
}

// NewPush prepares to push; it does not wait for a collector. The result is nil when the
// configuration asks for nothing. It must be shut down.
func NewPush(ctx context.Context, config PushConfig) (*Push, error) {
	if !config.Metrics && !config.Traces && !config.Logs {
		return nil, nil //nolint:nilnil // a nil Push is one that sends nothing
	}
	p := &Push{config: config}
	// The libraries know one place per process where to report their failures.
	otel.SetErrorHandler(&failures{log: config.Logger, now: config.Now})
	otel.SetLogger(logr.FromSlogHandler(config.Logger.Handler()))
	var err error
	if p.resource, err = newResource(ctx, config); err != nil {
		config.Logger.WarnContext(ctx, "describe this process to the collector", "error", err)
	}
	if config.Traces {
		if err := p.openTraces(ctx); err != nil {
			return nil, err
		}
	}
	if config.Logs {
		if err := p.openLogs(ctx); err != nil {
			return nil, errors.Join(err, p.Shutdown(ctx))
		}
	}
	return p, nil
}

// newResource says who is speaking. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win.
func newResource(ctx context.Context, config PushConfig) (*resource.Resource, error) {
	known := []attribute.KeyValue{attribute.String("service.name", serviceName), attribute.String("service.version", config.Version)}
	if config.Host != "" {
		// Without it a collector could not tell the replicas apart.
		known = append(known, attribute.String("service.instance.id", config.Host), attribute.String("host.name", config.Host))
	}
	return resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(known...), resource.WithFromEnv())
}

func (p *Push) openTraces(ctx context.Context) error {
	exporter, err := otlptracegrpc.New(ctx)
	if err != nil {
		return fmt.Errorf("push traces: %w", err)
	}
	p.traces = sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(p.resource))
	return nil
}

func (p *Push) openLogs(ctx context.Context) error {
	exporter, err := otlploggrpc.New(ctx)
	if err != nil {
		return fmt.Errorf("push logs: %w", err)
	}
	p.logs = sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewBatchProcessor(exporter)), sdklog.WithResource(p.resource))
	return nil
}

// Start pushes metrics from now on, if they are to be pushed. It is called once.
func (p *Push) Start(ctx context.Context, metrics *Metrics) error {
	if p == nil || !p.config.Metrics {
		return nil
	}
	exporter, err := otlpmetricgrpc.New(ctx)
	if err != nil {
		return fmt.Errorf("push metrics: %w", err)
	}
	reader := sdkmetric.NewPeriodicReader(exporter, sdkmetric.WithProducer(producer{
		gatherer: metrics.registry, version: p.config.Version, started: p.config.Now(), now: p.config.Now,
	}))
	p.metrics = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader), sdkmetric.WithResource(p.resource))
	return nil
}

// Tracer makes spans; nil when traces are not pushed.
func (p *Push) Tracer() *Tracer {
	if p == nil || p.traces == nil {
		return nil
	}
	host := p.config.Host
	if host == "" {
		host = "unknown"
	}
	return &Tracer{tracer: p.traces.Tracer(serviceName), host: host}
}

// Logger gives a logger whose lines are pushed beside what becomes of them without it.
func (p *Push) Logger(logger *slog.Logger) *slog.Logger {
	if p == nil || p.logs == nil {
		return logger
	}
	pushed := otelslog.NewHandler(serviceName, otelslog.WithLoggerProvider(p.logs))
	return slog.New(slog.NewMultiHandler(logger.Handler(), leveled{pushed, logger.Handler()}))
}

// leveled is a handler that takes what another one takes.
type leveled struct {
	slog.Handler

	by slog.Handler
}

func (l leveled) Enabled(ctx context.Context, level slog.Level) bool { return l.by.Enabled(ctx, level) }

func (l leveled) WithAttrs(attributes []slog.Attr) slog.Handler {
	return leveled{l.Handler.WithAttrs(attributes), l.by}
}

func (l leveled) WithGroup(name string) slog.Handler { return leveled{l.Handler.WithGroup(name), l.by} }

// Shutdown sends what is there still. The deadline of ctx bounds it.
func (p *Push) Shutdown(ctx context.Context) error {
	if p == nil {
		return nil
	}
	// At the same time: a collector that does not answer must not cost the deadline of
	// each in turn.
	var closing sync.WaitGroup
	var errs [3]error
	if p.metrics != nil {
		closing.Go(func() { errs[0] = p.metrics.Shutdown(ctx) })
	}
	if p.traces != nil {
		closing.Go(func() { errs[1] = p.traces.Shutdown(ctx) })
	}
	if p.logs != nil {
		closing.Go(func() { errs[2] = p.logs.Shutdown(ctx) })
	}
	closing.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return fmt.Errorf("send the last telemetry: %w", err)
	}
	return nil
}

// failures logs that telemetry could not be sent, now and then.
type failures struct {
	log *slog.Logger
	now func() time.Time

	mu     sync.Mutex
	last   time.Time
	silent int
}

// failuresEvery is the least time between two lines.
const failuresEvery = time.Minute

// Handle is called by the libraries for each failure.
func (f *failures) Handle(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if !f.last.IsZero() && now.Sub(f.last) < failuresEvery {
		f.silent++
		return
	}
	f.log.Warn("push telemetry", "error", err, "failures_since_last_line", f.silent)
	f.last, f.silent = now, 0
}
