package telemetry

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/evaluation"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/server"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// scrape gives the lines of our own metrics, without help texts and buckets.
func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	recorder := httptest.NewRecorder()
	m.Handler().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, Path, nil))
	if recorder.Code != 200 {
		t.Fatalf("got status %d: %s", recorder.Code, recorder.Body)
	}
	var lines []string
	for line := range strings.Lines(recorder.Body.String()) {
		if strings.HasPrefix(line, "kubewarden_") && !strings.Contains(line, "_bucket") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

func TestMetrics(t *testing.T) {
	m := NewMetrics("1.2.3")
	sample := evaluation.Evaluation{
		PolicyID: "kw.cap.a", Mode: contract.ModeProtect, Origin: evaluation.OriginValidate,
		Kind: "Pod", Operation: "CREATE", Namespace: "team", Latency: 1500 * time.Microsecond, Accepted: true,
	}
	m.Evaluated(sample)
	denied := sample
	denied.Accepted, denied.Mutated, denied.Code, denied.Operation = false, true, new(uint16(500)), "INVENTED"
	m.Evaluated(denied)
	m.Evaluated(evaluation.Evaluation{PolicyID: "kw.cap.raw", Mode: contract.ModeMonitor, Origin: evaluation.OriginRaw})
	m.NotLoaded("kw.cap.b", contract.ReasonInvalidModule)
	m.SetChanged(evaluation.Snapshot{
		Policies: map[string]contract.Served{"kw.cap.a": {}, "kw.cap.raw": {}},
		Failures: map[string]evaluation.Failure{
			"kw.cap.a": {Reason: contract.ReasonInvalidSettings}, "kw.cap.b": {Reason: contract.ReasonInvalidModule},
		},
	})
	m.Prepared(evaluation.StepCompile, time.Second)
	m.RequestStarted()
	m.RequestStarted()
	m.RequestEnded(server.Answered{Endpoint: "validate", Status: 200, Took: 2 * time.Millisecond})
	m.SetWorkers(8)
	m.WorkStarted(time.Millisecond)
	m.WorkStarted(time.Millisecond)
	m.WorkEnded()
	m.ConnectionOpened()
	m.ConnectionOpened()
	m.ConnectionClosed()
	m.HostCalled("kubernetes/can_i", host.ResultDenied, time.Millisecond)
	m.ModuleInMemory()
	m.ModuleFetched(fetch.PlaceStore)
	m.Overloaded("queue full")
	m.CertificateLoaded(nil)
	m.CertificateLoaded(errors.New("no"))

	path := filepath.Join("testdata", "metrics.txt")
	got := scrape(t, m)
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

func TestMetricsForgetPoliciesThatAreGone(t *testing.T) {
	m := NewMetrics("1.2.3")
	both := map[string]contract.Served{"kw.cap.a": {}, "kw.cap.b": {}}
	m.SetChanged(evaluation.Snapshot{Policies: both, Members: []string{"kw.cap.b/member"}})
	for id := range both {
		m.Evaluated(evaluation.Evaluation{PolicyID: id})
	}
	m.Evaluated(evaluation.Evaluation{PolicyID: "kw.cap.b/member"})
	m.SetChanged(evaluation.Snapshot{Policies: both, Members: []string{"kw.cap.b/member"}})
	if got := scrape(t, m); !strings.Contains(got, `"kw.cap.b/member"`) {
		t.Errorf("got %s, want the series of the member that is still there", got)
	}
	m.SetChanged(evaluation.Snapshot{Policies: map[string]contract.Served{"kw.cap.a": {}}})
	if got := scrape(t, m); !strings.Contains(got, "kw.cap.a") || strings.Contains(got, "kw.cap.b") {
		t.Errorf("got %s, want series of kw.cap.a only", got)
	}
}

func TestMetricsBoundWhatRequestsChoose(t *testing.T) {
	m := NewMetrics("1.2.3")
	for i := range 2000 {
		m.Evaluated(evaluation.Evaluation{
			PolicyID: "kw.cap.a", Kind: fmt.Sprint("Kind", i), Operation: fmt.Sprint("OPERATION", i), Namespace: fmt.Sprint("namespace-", i),
		})
	}
	m.Evaluated(evaluation.Evaluation{PolicyID: "kw.cap.a", Kind: strings.Repeat("x", 10000)})
	got := scrape(t, m)
	if lines := strings.Count(got, "kubewarden_policy_evaluations_total{"); lines > maxKinds+2 {
		t.Errorf("got %d series, want at most %d", lines, maxKinds+2)
	}
	for _, want := range []string{`resource_kind="Kind0"`, `resource_kind="other"`, `resource_namespace="other"`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing", want)
		}
	}
	if strings.Contains(got, "OPERATION") || strings.Contains(got, "xxxx") {
		t.Error("a made-up operation or an endless kind became a label")
	}
}

// Each label is bounded, and so is what they are together.
func TestMetricsBoundCombinations(t *testing.T) {
	m := NewMetrics("1.2.3")
	for i := range 100 {
		for j := range 100 {
			m.Evaluated(evaluation.Evaluation{
				PolicyID: "kw.cap.a", Kind: fmt.Sprint("Kind", i), Namespace: fmt.Sprint("namespace-", j), Code: new(uint16(i * j)),
			})
		}
	}
	got := scrape(t, m)
	if lines := strings.Count(got, "kubewarden_policy_evaluations_total{"); lines != maxSeries+1 {
		t.Errorf("got %d series, want %d and one of the others", lines, maxSeries)
	}
	if want := `error_code="other",initialization_error="",mutated="false",policy_mode="",policy_name="kw.cap.a",request_origin="",resource_kind="other",` +
		`resource_namespace="other",resource_request_operation=""} 90`; !strings.Contains(got, want) {
		t.Errorf("%s is missing", want)
	}
}

// A percentile is read between two bounds; upstream's are among them.
func TestLatencyBucketsAreClose(t *testing.T) {
	if least, most := latencyBuckets[1], latencyBuckets[len(latencyBuckets)-1]; least != 0.1 || most != 10000 {
		t.Errorf("got buckets from %v to %v ms, want 0.1 to 10000", least, most)
	}
	for i := 2; i < len(latencyBuckets); i++ {
		if ratio := latencyBuckets[i] / latencyBuckets[i-1]; ratio > 1.67 || ratio <= 1 {
			t.Errorf("got a bucket of %v ms after one of %v", latencyBuckets[i], latencyBuckets[i-1])
		}
	}
	for _, bound := range []float64{0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000} {
		if !slices.Contains(latencyBuckets, bound) {
			t.Errorf("upstream's bucket of %v ms is missing", bound)
		}
	}
}

func BenchmarkEvaluated(b *testing.B) {
	m := NewMetrics("1.2.3")
	sample := evaluation.Evaluation{PolicyID: "kw.cap.a", Kind: "Pod", Operation: "CREATE", Namespace: "team", Code: new(uint16(400))}
	b.ReportAllocs()
	for b.Loop() {
		m.Evaluated(sample)
	}
}

func TestNewLogger(t *testing.T) {
	for name, tc := range map[string]struct{ format, level, want, wantNot string }{
		"text at info":  {FormatText, "info", "level=INFO msg=hello key=value", "quiet"},
		"JSON at debug": {FormatJSON, "debug", `"level":"DEBUG","msg":"quiet"`, "TRACE"},
		"text at trace": {FormatText, "trace", "level=TRACE", "none"},
	} {
		t.Run(name, func(t *testing.T) {
			var output bytes.Buffer
			log, err := NewLogger(&output, tc.format, tc.level)
			if err != nil {
				t.Fatal(err)
			}
			log.Info("hello", "key", "value")
			log.Debug("quiet")
			log.Log(t.Context(), LevelTrace, "quieter")
			if got := output.String(); !strings.Contains(got, tc.want) || strings.Contains(got, tc.wantNot) {
				t.Errorf("got %s, want %q and not %q", got, tc.want, tc.wantNot)
			}
		})
	}
	for _, tc := range [][2]string{{"logfmt", "info"}, {"text", "loud"}} {
		if _, err := NewLogger(new(bytes.Buffer), tc[0], tc[1]); err == nil || !strings.Contains(err.Error(), "allowed are") {
			t.Errorf("%v: got %v, want an error that names what is allowed", tc, err)
		}
	}
	if len(Levels) != 5 || Levels["warn"] != slog.LevelWarn {
		t.Errorf("got levels %v", Levels)
	}
}
