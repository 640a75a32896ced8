package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
	"github.com/kubewarden/kubewarden-operator/policyserver/telemetry/telemetrytest"
)

// freePorts gives ports that nobody listens on at the moment.
func freePorts(t *testing.T, n int) []uint16 {
	t.Helper()
	ports := make([]uint16, 0, n)
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		ports = append(ports, listener.Addr().(*net.TCPAddr).AddrPort().Port())
	}
	return ports
}

// served runs a server with a policy "a" until stop is called, which gives its error.
func served(t *testing.T, arguments ...string) (flags policyServerFlags, stop func() error) {
	t.Helper()
	dir := t.TempDir()
	module, policies := filepath.Join(dir, "module.wasm"), filepath.Join(dir, "policies.yml")
	for path, content := range map[string][]byte{module: wasmtest.Accepting(), policies: []byte("a: {module: file://" + module + "}")} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	flags, err := parse(append(arguments, "--addr=127.0.0.1", "--policies="+policies, "--policies-download-dir="+dir, "--drain-period=0s"), nil)
	if err != nil {
		t.Fatal(err)
	}
	ports := freePorts(t, 3)
	flags.port, flags.readinessPort, flags.metricsPort = ports[0], ports[1], ports[2]
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- flags.run(ctx) }()
	waitFor(t, ended, "http://"+flags.hostPort(flags.readinessPort)+"/readiness")
	return flags, func() error {
		cancel()
		return <-ended
	}
}

// A server has the collector tuned to its heap, however large that is.
func TestServersCollectLess(t *testing.T) {
	t.Setenv("GOGC", "")
	const least = 100 // of memory.GCPercent
	defer debug.SetGCPercent(debug.SetGCPercent(least / 2))
	_, stop := served(t)
	percent := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(percent)
	if got := percent[0].Value.Uint64(); got < least {
		t.Errorf("a heap may grow by %d%% of itself, want at least %d%%", got, least)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// A server that is told to stop sends what a collector does not have yet: metrics, which
// go out once a minute otherwise, spans and lines of the log.
func TestTheLastTelemetryIsSent(t *testing.T) {
	collector := telemetrytest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+collector.Address)
	t.Setenv("HOSTNAME", "pod-1")
	flags, stop := served(t, "--enable-metrics", "--log-fmt=otlp")
	response, err := http.Post("http://"+flags.hostPort(flags.port)+"/validate_raw/a", "application/json", bytes.NewReader([]byte(`{"request":{}}`)))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, resource := range collector.Metrics() {
		got.WriteString(resource.String())
	}
	for _, resource := range collector.Spans() {
		got.WriteString(resource.String())
	}
	for _, resource := range collector.Logs() {
		got.WriteString(resource.String())
	}
	for _, want := range []string{`"kubewarden_policy_evaluations_total"`, `"validation_raw"`, `"policy loaded"`, `"stopped"`, `"pod-1"`} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("%s was not sent", want)
		}
	}
}

// waitFor returns when a page is there.
func waitFor(t *testing.T, ended <-chan error, url string) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		response, err := http.Get(url)
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case err := <-ended:
			t.Fatalf("the server ended: %v", err)
		case <-deadline:
			t.Fatalf("%s did not answer 200 in a minute", url)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
