//go:build integration

package audit

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/config/crd/reports"
)

// startTimeout is for a machine that has other things to do.
const startTimeout = 2 * time.Minute

// root is that of the repository.
var root = filepath.Join("..", "..", "..")

// cluster is an API server with its etcd.
type cluster struct {
	client.Client
	env        *envtest.Environment
	kubeconfig []byte
	raw        rest.Interface
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	definitions, err := reports.Definitions(reports.GroupPolicyReports)
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{env: &envtest.Environment{
		CRDDirectoryPaths:        []string{filepath.Join(root, "config", "crd", "bases")},
		ErrorIfCRDPathMissing:    true,
		CRDs:                     definitions,
		ControlPlaneStartTimeout: startTimeout,
	}}
	log.SetLogger(logr.Discard())
	// What has been started ends also when the rest could not be.
	t.Cleanup(func() {
		if err := c.env.Stop(); err != nil {
			t.Error("stop the API server:", err)
		}
	})
	config, err := c.env.Start()
	if err != nil {
		t.Fatal("start the API server:", err)
	}
	admin, err := c.env.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.kubeconfig, err = admin.KubeConfig(); err != nil {
		t.Fatal(err)
	}
	config.QPS = -1 // the API server sees to fairness
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, policiesv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	if c.Client, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	c.raw = clients.Discovery().RESTClient()
	return c
}

// writeVerbs are those of requests that may change something, as the API server counts them.
var writeVerbs = map[string]bool{"POST": true, "PUT": true, "PATCH": true, "APPLY": true, "DELETE": true, "DELETECOLLECTION": true}

// writes is how many requests to change reports the API server has counted since it started.
// None is a figure only where requests are counted at all.
func (c *cluster) writes(t *testing.T) int {
	t.Helper()
	series := c.metric(t, "apiserver_request_total")
	return total(series, func(labels map[string]string) bool {
		return labels["group"] == reports.GroupPolicyReports && writeVerbs[labels["verb"]]
	})
}

// cpu is how long the API server has run so far, in seconds of one processor.
func (c *cluster) cpu(t *testing.T) float64 {
	t.Helper()
	return c.metric(t, "process_cpu_seconds_total")[0].GetCounter().GetValue()
}

// metric is what the API server tells of itself, one series at least.
func (c *cluster) metric(t *testing.T, name string) []*dto.Metric {
	t.Helper()
	text, err := c.raw.Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal("read the metrics of the API server:", err)
	}
	series, err := read(bytes.NewReader(text), name)
	if err != nil {
		t.Fatal(err)
	}
	if len(series) == 0 {
		t.Fatalf("the API server has no metric %s", name)
	}
	return series
}

// read reads the series of a metric out of Prometheus' text format.
func read(text io.Reader, name string) ([]*dto.Metric, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(text)
	if err != nil {
		return nil, fmt.Errorf("parse metrics: %w", err)
	}
	return families[name].GetMetric(), nil
}

// total adds up the counters that are wanted.
func total(series []*dto.Metric, wanted func(labels map[string]string) bool) int {
	sum := 0
	for _, one := range series {
		labels := map[string]string{}
		for _, pair := range one.GetLabel() {
			labels[pair.GetName()] = pair.GetValue()
		}
		if wanted(labels) {
			sum += int(one.GetCounter().GetValue())
		}
	}
	return sum
}
