package scan

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/audit/plan"
	"github.com/kubewarden/kubewarden-operator/audit/report"
	"github.com/kubewarden/kubewarden-operator/matching"
)

// The size of the scan that BenchmarkFirstScan makes.
const (
	benchObjects  = 1000
	benchPolicies = 20
	benchPage     = 100
)

// BenchmarkFirstScan scans one namespace for the first time: it lists, matches, asks over
// TLS, and writes a report per object. The API server and the policy server are doubles in
// this very process that answer at once, and share its processors.
func BenchmarkFirstScan(b *testing.B) {
	policies := newDouble(b)
	policies.Config.Handler = http.HandlerFunc(allowAll)
	cluster := httptest.NewUnstartedServer(newFakeCluster(b))
	cluster.Config.ErrorLog = log.New(io.Discard, "", 0)
	cluster.Start()
	b.Cleanup(cluster.Close)

	scanner := benchScanner(b, cluster.URL, policies)
	benchPlan := plan.New(scanner.compiler, benchInput())
	b.ResetTimer()
	for b.Loop() {
		r := &run{Scanner: scanner, plan: benchPlan, servers: map[string]endpoint{"default": {url: doubleURL}}}
		if err := r.rounds(b.Context(), []place{{namespace: "team-a"}}); err != nil {
			b.Fatal(err)
		}
		summary := r.counts.summary(nil)
		if summary.Results[report.OutcomePass] != benchObjects*benchPolicies || summary.Reports[report.Created] != benchObjects {
			b.Fatalf("summary %+v", summary)
		}
	}
	b.ReportMetric(float64(b.N*benchObjects*benchPolicies)/b.Elapsed().Seconds(), "evaluations/s")
}

func benchScanner(b *testing.B, clusterURL string, policies *double) *Scanner {
	b.Helper()
	restConfig := &rest.Config{Host: clusterURL, QPS: -1}
	scheme := runtime.NewScheme()
	if err := report.AddToScheme(scheme); err != nil {
		b.Fatal(err)
	}
	mapper := apimeta.NewDefaultRESTMapper(nil)
	for kind := range scheme.AllKnownTypes() {
		mapper.Add(kind, apimeta.RESTScopeNamespace)
	}
	typed, err := client.New(restConfig, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		b.Fatal(err)
	}
	objects, err := NewLister(restConfig)
	if err != nil {
		b.Fatal(err)
	}
	store, err := report.NewStore(typed, report.KindPolicyReport, "run")
	if err != nil {
		b.Fatal(err)
	}
	scanner, err := NewScanner(Config{
		Client: typed, Objects: objects, Store: store,
		Asker: NewAsker(AskerConfig{Transport: policies.transport(b, TransportConfig{Connections: 128}), Parallel: 128, Now: time.Now}),
		Log:   slog.New(slog.DiscardHandler), Now: time.Now, KubewardenNamespace: "kubewarden",
		ParallelNamespaces: 1, ParallelResources: 100, ParallelPolicies: 5, PageSize: benchPage,
	})
	if err != nil {
		b.Fatal(err)
	}
	return scanner
}

func benchInput() plan.Input {
	in := plan.Input{Resources: []plan.Resource{{Resource: pods, Listable: true}}}
	for i := range benchPolicies {
		name := fmt.Sprintf("policy-%02d", i)
		in.Policies = append(in.Policies, plan.Policy{
			ID: "kw.cap." + name, Name: name, UID: types.UID(fmt.Sprintf("7c3a1f8e-0000-4000-8000-%012d", i)), ResourceVersion: "1000000",
			Server: "default", State: plan.StateActive, BackgroundAudit: true,
			Webhook: matching.Webhook{Name: name, Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}}},
		})
	}
	return in
}

// allowAll answers without evaluating: it looks for the uid and no further.
func allowAll(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, after, _ := strings.Cut(string(body), `"uid":"`)
	uid, _, _ := strings.Cut(after, `"`)
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":%q,"allowed":true,"auditAnnotations":null,"warnings":null}}`, uid)
}

// newFakeCluster serves pages of pods of about 5 KB, no reports, and takes new ones.
func newFakeCluster(b *testing.B) http.Handler {
	b.Helper()
	pages := map[string][]byte{}
	for first := 0; first < benchObjects; first += benchPage {
		token, next := fmt.Sprint(first), fmt.Sprint(first+benchPage)
		if first == 0 {
			token = ""
		}
		if first+benchPage >= benchObjects {
			next = ""
		}
		items := make([]any, 0, benchPage)
		for i := first; i < first+benchPage; i++ {
			items = append(items, benchPod(i))
		}
		page, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "PodList", "metadata": map[string]any{"continue": next}, "items": items})
		if err != nil {
			b.Fatal(err)
		}
		pages[token] = page
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/pods"):
			_, _ = w.Write(pages[r.URL.Query().Get("continue")])
		case r.Method == http.MethodPost:
			body, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write(body)
		default:
			_, _ = w.Write([]byte(`{"apiVersion":"wgpolicyk8s.io/v1alpha2","kind":"PolicyReportList","metadata":{},"items":[]}`))
		}
	})
}

func benchPod(i int) map[string]any {
	containers := make([]any, 0, 8)
	for c := range 8 {
		containers = append(containers, map[string]any{
			"name": fmt.Sprintf("container-%d", c), "image": "registry.example.com/team/application:1.2.3",
			"env":       []any{map[string]any{"name": "SETTING", "value": strings.Repeat("x", 300)}},
			"resources": map[string]any{"limits": map[string]any{"cpu": "1", "memory": "128Mi"}, "requests": map[string]any{"cpu": "100m", "memory": "64Mi"}},
		})
	}
	return map[string]any{
		"metadata": map[string]any{
			"name": fmt.Sprintf("pod-%04d", i), "namespace": "team-a", "resourceVersion": "1234567",
			"uid": fmt.Sprintf("7c3a1f8e-0000-4000-9000-%012d", i), "labels": map[string]any{"app": "web"},
		},
		"spec": map[string]any{"containers": containers},
	}
}
