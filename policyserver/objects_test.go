package policyserver

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/kube/objects"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// The cluster is asked for what policies may list as soon as they are loaded, and for nothing
// as long as there are none that may: neither what kinds there are, nor for objects.
func TestClusterIsAskedForWhatLoadedPoliciesList(t *testing.T) {
	from := newImages(t)
	module := from.push(t, "accept", wasmtest.Answering(`{"accepted":true}`))
	var requests atomic.Int64
	asked := make(chan string, 100)
	cluster := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		asked <- r.URL.Path
		http.Error(w, "there is nothing here", http.StatusNotFound)
	}))
	t.Cleanup(cluster.Close)
	clients, err := objects.NewClients(&rest.Config{Host: cluster.URL})
	if err != nil {
		t.Fatal(err)
	}
	pods := []contract.ContextAwareResource{{APIVersion: "v1", Kind: "Pod"}}
	run := func(entry contract.Entry) *running {
		files, _ := fromFiles(t, from, contract.Policies{"policy": entry})
		s := start(t, Config{Files: files, Capabilities: Capabilities{Cluster: clients}})
		s.waitReady(t)
		return s
	}
	for name, entry := range map[string]contract.Entry{
		"reads nothing":    {Module: module, HostCapabilities: []string{"*"}},
		"may list nothing": {Module: module, HostCapabilities: []string{"kubernetes/get_resource"}, ContextAwareResources: pods},
	} {
		s := run(entry)
		if got := s.ask(t, "policy", "{}"); !got.Allowed {
			t.Errorf("%s: got %+v", name, got)
		}
		if usage := s.objects.Usage(); len(usage) > 0 || requests.Load() > 0 {
			t.Errorf("a policy that %s costs %d requests, and %+v is watched", name, requests.Load(), usage)
		}
	}
	run(contract.Entry{Module: module, HostCapabilities: []string{"kubernetes/*"}, ContextAwareResources: pods})
	select {
	case path := <-asked:
		if path != "/api/v1" {
			t.Errorf("the cluster was asked for %s first, want what kinds there are", path)
		}
	case <-time.After(time.Minute):
		t.Error("the cluster was not asked for what a policy that is loaded may list")
	}
}
