package telemetry

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/evaluation"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/metadata"
	"github.com/kubewarden/kubewarden-operator/policyserver/telemetry/telemetrytest"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// golden compares a text with a file of testdata.
func golden(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// pair is a certificate for 127.0.0.1 that is its own authority, in PEM files.
func pair(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "collector"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key = filepath.Join(t.TempDir(), "tls.crt"), filepath.Join(t.TempDir(), "tls.key")
	for path, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: encoded}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}

// filled has a value in every metric of our own.
func filled() *Metrics {
	m := NewMetrics("1.2.3")
	sample := evaluation.Evaluation{
		PolicyID: "kw.cap.a", Mode: contract.ModeProtect, Origin: evaluation.OriginValidate,
		Kind: "Pod", Operation: "CREATE", Namespace: "team", Latency: 1500 * time.Microsecond, Accepted: true,
	}
	m.Evaluated(sample)
	sample.Accepted, sample.Mutated, sample.Code = false, true, new(uint16(500))
	m.Evaluated(sample)
	m.Evaluated(evaluation.Evaluation{PolicyID: "kw.cap.raw", Mode: contract.ModeMonitor, Origin: evaluation.OriginRaw, Latency: time.Minute})
	m.NotLoaded("kw.cap.b", contract.ReasonInvalidModule)
	return m
}

// written writes the metrics that a collector got, one line for each series.
func written(t *testing.T, got []*metrics.ResourceMetrics) string {
	t.Helper()
	if len(got) != 1 || len(got[0].GetScopeMetrics()) != 1 {
		t.Fatalf("got %v, want one resource and one scope", got)
	}
	scope := got[0].GetScopeMetrics()[0]
	lines := []string{"scope " + scope.GetScope().GetName() + " " + scope.GetScope().GetVersion()}
	for _, metric := range scope.GetMetrics() {
		if !strings.HasPrefix(metric.GetName(), "kubewarden_policy_eval") {
			continue
		}
		for _, point := range metric.GetSum().GetDataPoints() {
			if point.GetStartTimeUnixNano() == 0 || !metric.GetSum().GetIsMonotonic() {
				t.Errorf("got %v, want a counter that knows when it began", metric)
			}
			lines = append(lines, strings.Join(append([]string{metric.GetName()}, telemetrytest.Text(point.GetAttributes())...), " ")+
				fmt.Sprintf(" %T %d", point.GetValue(), point.GetAsInt()))
		}
		for _, point := range metric.GetHistogram().GetDataPoints() {
			lines = append(lines, strings.Join(append([]string{metric.GetName()}, telemetrytest.Text(point.GetAttributes())...), " ")+" all up to "+highest(t, point))
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// highest is the bound of the bucket that holds everything.
func highest(t *testing.T, point *metrics.HistogramDataPoint) string {
	t.Helper()
	counts, bounds := point.GetBucketCounts(), point.GetExplicitBounds()
	if len(counts) != len(bounds)+1 || point.GetStartTimeUnixNano() == 0 {
		t.Errorf("got %v, want a bucket more than bounds, and a start", point)
	}
	at := slices.Index(counts, point.GetCount())
	if at < 0 || at >= len(bounds) {
		return "+Inf"
	}
	return time.Duration(bounds[at] * float64(time.Millisecond)).String()
}

// With TLS on both sides, by the variables of the one signal: those upstream misspells.
func TestPushMetrics(t *testing.T) {
	certificate, key := pair(t)
	serving, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: serving.Certificate[0]}))
	collector := telemetrytest.Start(t, grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{serving}, ClientCAs: trusted, ClientAuth: tls.RequireAndVerifyClientCert,
	})))
	t.Setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "https://"+collector.Address)
	t.Setenv("OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE", certificate)
	t.Setenv("OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE", certificate)
	t.Setenv("OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY", key)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.namespace.name=kubewarden")

	push, err := NewPush(t.Context(), PushConfig{Metrics: true, Host: "pod-1", Version: "1.2.3", Logger: quiet(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := push.Start(t.Context(), filled()); err != nil {
		t.Fatal(err)
	}
	if push.Tracer() != nil {
		t.Error("got a tracer, want none where traces are not pushed")
	}
	if err := push.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := collector.Metrics()
	golden(t, "otlp-metrics.txt", written(t, got))
	resource := telemetrytest.Text(got[0].GetResource().GetAttributes())
	for _, want := range []string{
		`service.name="kubewarden-policy-server"`, `service.version="1.2.3"`, `service.instance.id="pod-1"`, `k8s.namespace.name="kubewarden"`,
	} {
		if !slices.Contains(resource, want) {
			t.Errorf("got resource %v, want %s among it", resource, want)
		}
	}
}

// Whatever Prometheus can scrape is pushed, and nothing else.
func TestPushMetricsOfTheSameNames(t *testing.T) {
	m := filled()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	scopes, err := producer{gatherer: m.registry, started: time.Now(), now: time.Now}.Produce(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pushed, scraped := make([]string, 0, len(families)), make([]string, 0, len(families))
	for _, metric := range scopes[0].Metrics {
		pushed = append(pushed, metric.Name)
	}
	for _, family := range families {
		if family.GetName() != "go_gc_duration_seconds" { // a summary, which OpenTelemetry has not
			scraped = append(scraped, family.GetName())
		}
	}
	if diff := cmp.Diff(scraped, pushed); diff != "" {
		t.Errorf("-scraped +pushed:\n%s", diff)
	}
}

func TestPushLogs(t *testing.T) {
	collector := telemetrytest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+collector.Address)
	t.Setenv("OTEL_SERVICE_NAME", "of-my-own")
	push, err := NewPush(t.Context(), PushConfig{Logs: true, Logger: quiet(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	var stdout bytes.Buffer
	logger, err := NewLogger(&stdout, FormatOTLP, "info")
	if err != nil {
		t.Fatal(err)
	}
	logger = push.Logger(logger).With("policy_id", "kw.cap.a")
	logger.Debug("quiet")
	logger.Warn("hello", "key", "value")
	if err := push.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if text := stdout.String(); !strings.Contains(text, `level=WARN msg=hello policy_id=kw.cap.a key=value`) || strings.Contains(text, "quiet") {
		t.Errorf("got %q on standard output, want the line there, too", text)
	}
	var got []string
	for _, resource := range collector.Logs() {
		if attributes := telemetrytest.Text(resource.GetResource().GetAttributes()); !slices.Contains(attributes, `service.name="of-my-own"`) {
			t.Errorf("got resource %v, want the name that was given", attributes)
		}
		for _, scope := range resource.GetScopeLogs() {
			for _, record := range scope.GetLogRecords() {
				got = append(got, scope.GetScope().GetName(), record.GetSeverityNumber().String(), record.GetBody().GetStringValue())
				got = append(got, telemetrytest.Text(record.GetAttributes())...)
			}
		}
	}
	want := []string{"kubewarden-policy-server", "SEVERITY_NUMBER_WARN", "hello", `policy_id="kw.cap.a"`, `key="value"`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A collector that does not answer costs the time that it is given, and no more.
func TestShutdownIsBounded(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+listener.Addr().String())
	push, err := NewPush(t.Context(), PushConfig{Metrics: true, Traces: true, Logs: true, Logger: quiet(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := push.Start(t.Context(), filled()); err != nil {
		t.Fatal(err)
	}
	_, span := push.Tracer().tracer.Start(t.Context(), "lost")
	span.End()
	push.Logger(quiet()).Error("lost")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := push.Shutdown(ctx); err == nil || !strings.Contains(err.Error(), "send the last telemetry") {
		t.Errorf("got error %v, want one that says what was lost", err)
	}
}

func TestNothingToPush(t *testing.T) {
	push, err := NewPush(t.Context(), PushConfig{})
	if push != nil || err != nil {
		t.Fatalf("got %v, error %v; want nil", push, err)
	}
	logger := quiet()
	if push.Logger(logger) != logger || push.Tracer() != nil || push.Start(t.Context(), nil) != nil || push.Shutdown(t.Context()) != nil {
		t.Error("a nil Push does something")
	}
}

// Who does not trace does not pay: nothing is wrapped, so nothing is allocated.
func TestNoTracerIsFree(t *testing.T) {
	var none *Tracer
	handler := http.NewServeMux()
	if none.Handler(handler) != http.Handler(handler) {
		t.Error("the handler is wrapped")
	}
	evaluator := new(evaluation.Environment)
	if none.Evaluator(evaluator) != Evaluator(evaluator) {
		t.Error("the evaluator is wrapped")
	}
	module := new(fakeModule)
	if none.Module(module, metadata.ModeWaPC) != evaluation.Module(module) {
		t.Error("the module is wrapped")
	}
	logger := quiet()
	if none.PolicyLogger(logger) != logger || none.Group() != nil {
		t.Error("the logger or the group is wrapped")
	}
}

type fakeModule struct{ evaluation.Module }

func TestFailuresAreLoggedNowAndThen(t *testing.T) {
	var output bytes.Buffer
	now := time.Unix(1000, 0)
	failing := &failures{log: slog.New(slog.NewTextHandler(&output, nil)), now: func() time.Time { return now }}
	for range 5 {
		failing.Handle(errors.New("no collector"))
		now = now.Add(15 * time.Second)
	}
	if lines := strings.Count(output.String(), "no collector"); lines != 2 || !strings.Contains(output.String(), "failures_since_last_line=3") {
		t.Errorf("got %s, want a line at once, and one a minute later that counts those in between", output.String())
	}
}
