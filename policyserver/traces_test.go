package policyserver

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
	"github.com/kubewarden/kubewarden-operator/policyserver/telemetry"
	"github.com/kubewarden/kubewarden-operator/policyserver/telemetry/telemetrytest"
)

// traced runs a server that pushes its spans to a collector.
func traced(t *testing.T, policies contract.Policies, from images) (*running, *telemetrytest.Collector, *telemetry.Push) {
	t.Helper()
	collector := telemetrytest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+collector.Address)
	push, err := telemetry.NewPush(t.Context(), telemetry.PushConfig{
		Traces: true, Host: "pod-1", Version: "0.0.0-test", Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	files, _ := fromFiles(t, from, policies)
	s := start(t, Config{Files: files, Push: push})
	s.waitReady(t)
	return s, collector, push
}

// spans gives the spans that were pushed, by their parent.
func spans(collector *telemetrytest.Collector) map[string][]*trace.Span {
	children := map[string][]*trace.Span{}
	for _, resource := range collector.Spans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				children[string(span.GetParentSpanId())] = append(children[string(span.GetParentSpanId())], span)
			}
		}
	}
	for _, siblings := range children {
		slices.SortFunc(siblings, func(a, b *trace.Span) int { return int(a.GetStartTimeUnixNano()) - int(b.GetStartTimeUnixNano()) })
	}
	return children
}

// tree writes the spans below one, a line for each name, attribute, event and failure.
func tree(children map[string][]*trace.Span, parent []byte, indent string) string {
	var text strings.Builder
	for _, span := range children[string(parent)] {
		fmt.Fprintf(&text, "%s%s\n", indent, span.GetName())
		for _, line := range telemetrytest.Text(span.GetAttributes()) {
			fmt.Fprintf(&text, "%s  %s\n", indent, line)
		}
		for _, event := range span.GetEvents() {
			fmt.Fprintf(&text, "%s  event %q %s\n", indent, event.GetName(), telemetrytest.Text(event.GetAttributes()))
		}
		if span.GetStatus().GetCode() == trace.Status_STATUS_CODE_ERROR {
			fmt.Fprintf(&text, "%s  error %q\n", indent, span.GetStatus().GetMessage())
		}
		text.WriteString(tree(children, span.GetSpanId(), indent+"  "))
	}
	return text.String()
}

const (
	traceID   = "0123456789abcdef0123456789abcdef"
	callersID = "0123456789abcdef"
)

// asking is a guest that asks the host for an address and for one that it is not granted, and accepts.
func asking() []byte {
	g := wasmtest.NewGuest()
	return g.OnValidate(
		g.CallHost("net", "v1/dns_lookup_host", `"127.0.0.1"`), wasmtest.Drop,
		g.CallHost("oci", "v1/manifest_digest", `"classified"`), wasmtest.Drop,
		g.Respond(`{"accepted":true}`),
	).Bytes()
}

// logging is a guest that logs, and accepts.
func logging() []byte {
	g := wasmtest.NewGuest()
	return g.OnValidate(g.CallHost("tracing", "log", `{"level":"warning","message":"look","a":1}`), wasmtest.Drop, g.Respond(`{"accepted":true}`)).Bytes()
}

var update = flag.Bool("update", false, "rewrite the golden files")

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

// post sends a body to a path within the trace of its sender.
func post(t *testing.T, s *running, path, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+s.Address("API")+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("traceparent", "00-"+traceID+"-"+callersID+"-01")
	response, err := s.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
}

// The spans and their attributes are upstream's; neither settings nor objects are in them,
// and the trace of the caller goes on.
func TestTraces(t *testing.T) {
	from := newImages(t)
	denying := from.push(t, "denying", wasmtest.Answering(`{"accepted":false,"message":"no","code":418}`))
	secret := json.RawMessage(`{"token":"hunter2"}`)
	s, collector, push := traced(t, contract.Policies{
		"denying":  {Module: denying, Settings: secret},
		"monitors": {Module: denying, PolicyMode: contract.ModeMonitor},
		"fails":    {Module: from.push(t, "failing", wasmtest.Failing("it broke"))},
		"logs":     {Module: from.push(t, "logging", logging())},
		"asks":     {Module: from.push(t, "asking", asking()), HostCapabilities: []string{"net/*"}},
		"group": {
			Expression: "a() || b()", Message: "neither",
			Policies: map[string]contract.Member{"a": {Module: denying, Settings: secret}, "b": {Module: denying}},
		},
	}, from)
	review := `{"request":{"uid":"u-1","kind":{"group":"apps","version":"v1","kind":"Deployment"},` +
		`"resource":{"group":"apps","version":"v1","resource":"deployments"},"subResource":"scale","namespace":"team","name":"n",` +
		`"operation":"UPDATE","userInfo":{"username":"jane"},"object":{"data":"classified"},"oldObject":{"data":"classified"}}}`
	for _, path := range []string{
		"/validate/denying", "/audit/denying", "/validate/monitors", "/validate/fails", "/validate/group", "/validate/logs", "/validate/asks", "/validate/absent",
	} {
		post(t, s, path, review)
	}
	post(t, s, "/validate_raw/denying", `{"request":{"uid":"raw-1","data":"classified"}}`)
	if err := push.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	children := spans(collector)
	caller, err := hex.DecodeString(callersID)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "traces.txt", tree(children, caller, ""))
	for _, span := range children[string(caller)] {
		if got := fmt.Sprintf("%x", span.GetTraceId()); got != traceID {
			t.Errorf("got trace %s, want that of the caller", got)
		}
	}
	if root := tree(children, nil, ""); !strings.Contains(root, "validate_settings\n  self=\"PolicyEvaluator { runtime: \\\"wapc\\\" }\"\n  policy_id=\"denying\"\n") {
		t.Errorf("got %s outside of requests, want the checks of settings", root)
	}
	for _, resource := range collector.Spans() {
		text := protojson.Format(resource)
		if strings.Contains(text, "hunter2") || strings.Contains(text, "classified") || strings.Contains(text, "jane") {
			t.Fatalf("settings or objects are in %s", text)
		}
		if scope := resource.GetScopeSpans()[0].GetScope().GetName(); scope != "kubewarden-policy-server" {
			t.Errorf("got scope %q, want upstream's", scope)
		}
	}
}

func TestTracesAreSampled(t *testing.T) {
	from := newImages(t)
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	s, collector, push := traced(t, contract.Policies{"a": {Module: from.push(t, "a", wasmtest.Accepting())}}, from)
	if got := s.ask(t, "a", "{}"); !got.Allowed {
		t.Errorf("got %+v, want the request allowed", got)
	}
	if err := push.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := collector.Spans(); len(got) != 0 {
		t.Errorf("got %v, want no span", got)
	}
}
