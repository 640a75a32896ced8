//go:build integration

package audit

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"testing"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubewarden/kubewarden-operator/audit/report"
	"github.com/kubewarden/kubewarden-operator/audit/scan"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/test/bench/child"
)

const (
	// sampleNamespaces are those that are scanned in both ways, and turns how often.
	sampleNamespaces = 8
	turns            = 3
)

// alone reaches policy servers that do not know how several policies are asked at once.
type alone struct{ http.RoundTripper }

func (a alone) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Path != contract.PathAudits {
		return a.RoundTripper.RoundTrip(request)
	}
	return &http.Response{StatusCode: http.StatusNotFound, Body: io.NopCloser(&bytes.Buffer{}), Request: request}, nil
}

// sample are the first namespaces of a cluster.
type sample struct {
	*cluster

	server     *server
	namespaces int // that there are
}

// compare scans a sample in both ways, in turns: what else the machine does meets both.
func (s sample) compare(t *testing.T) (found ways) {
	t.Helper()
	for range turns {
		s.scan(t, &found.Together, func(next http.RoundTripper) http.RoundTripper { return next })
		s.scan(t, &found.Alone, func(next http.RoundTripper) http.RoundTripper { return alone{next} })
	}
	return found
}

// scan scans once more in a way.
func (s sample) scan(t *testing.T, w *way, by func(http.RoundTripper) http.RoundTripper) {
	t.Helper()
	scanner, err := scan.NewScanner(s.config(t, by))
	if err != nil {
		t.Fatal(err)
	}
	evaluations, server, own, started := s.server.evaluations(t), s.server.cpu(t), cpuOf(t, os.Getpid()), time.Now()
	summary, err := scanner.Run(t.Context(), scan.Target{})
	if err != nil || summary.Results[report.OutcomeError] > 0 {
		t.Fatalf("scan a sample: %v, %v", err, summary.Results)
	}
	w.Seconds += time.Since(started).Seconds()
	w.PolicyServer += s.server.cpu(t) - server
	w.Scanner += cpuOf(t, os.Getpid()) - own
	w.Evaluations += s.server.evaluations(t) - evaluations
}

// config is that of the program, for all that matters here.
func (s sample) config(t *testing.T, by func(http.RoundTripper) http.RoundTripper) scan.Config {
	t.Helper()
	rest, err := clientcmd.RESTConfigFromKubeConfig(s.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	rest.QPS = -1
	objects, err := scan.NewLister(rest)
	if err != nil {
		t.Fatal(err)
	}
	served, err := discovery.NewDiscoveryClientForConfig(rest)
	if err != nil {
		t.Fatal(err)
	}
	authority, err := os.ReadFile(s.server.file(child.CertificateFile))
	if err != nil {
		t.Fatal(err)
	}
	const parallel = 128
	transport, err := scan.NewTransport(scan.TransportConfig{ExtraCA: authority, Connections: parallel})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	store, err := report.NewStore(s, report.KindPolicyReport, "sample")
	if err != nil {
		t.Fatal(err)
	}
	ignored := []string{"default", "kube-node-lease", "kube-public", "kube-system"}
	for i := sampleNamespaces; i < s.namespaces; i++ {
		ignored = append(ignored, fmt.Sprintf("team-%03d", i))
	}
	return scan.Config{
		Client: s, Objects: objects, Discovery: served.WithLegacyWithContext(context.WithoutCancel(t.Context())),
		Asker: scan.NewAsker(scan.AskerConfig{Transport: by(transport), Parallel: parallel, Now: time.Now}),
		Store: store, DisableStore: true, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		KubewardenNamespace: "kubewarden", PolicyServerURL: "https://" + s.server.api, IgnoreNamespaces: ignored,
		ParallelNamespaces: 1, ParallelResources: 100, ParallelPolicies: 5, PageSize: 100,
	}
}

// cpuOf is how long a process has run so far, in seconds of one processor.
func cpuOf(t *testing.T, pid int) float64 {
	t.Helper()
	ran, err := child.CPU(pid)
	if err != nil {
		t.Fatal(err)
	}
	return ran.Seconds()
}
