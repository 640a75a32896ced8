//go:build integration

package scale

import (
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// counts are what the operator has done, by what it did it with.
type counts struct {
	// Reconciles are by controller.
	Reconciles map[string]int `json:"reconciles"`
	// Calls are by verb and resource, such as "patch clusteradmissionpolicies/status".
	Calls map[string]int `json:"calls"`
}

// since is what has been done after an earlier moment.
func (c counts) since(before counts) counts {
	return counts{Reconciles: difference(c.Reconciles, before.Reconciles), Calls: difference(c.Calls, before.Calls)}
}

func difference(now, before map[string]int) map[string]int {
	result := map[string]int{}
	for key, count := range now {
		if count != before[key] {
			result[key] = count - before[key]
		}
	}
	return result
}

func (c counts) reconciles() int { return total(c.Reconciles, func(string) bool { return true }) }

// policyReconciles are those of policies of any kind.
func (c counts) policyReconciles() int {
	return total(c.Reconciles, func(controller string) bool { return strings.Contains(controller, "admissionpolicy") })
}

func (c counts) calls() int { return total(c.Calls, func(string) bool { return true }) }

// writes are the calls that change something.
func (c counts) writes() int { return total(c.Calls, isWrite) }

func isWrite(call string) bool {
	verb, _, _ := strings.Cut(call, " ")
	return verb != "get" && verb != "list" && verb != "watch"
}

func total(of map[string]int, counted func(string) bool) int {
	sum := 0
	for key, count := range of {
		if counted(key) {
			sum += count
		}
	}
	return sum
}

// counter stands in the operator's connection to the API server.
type counter struct {
	mutex sync.Mutex
	calls map[string]int
}

func (c *counter) wrap(transport http.RoundTripper) http.RoundTripper {
	infos := &request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}
	return roundTripper(func(sent *http.Request) (*http.Response, error) {
		info, err := infos.NewRequestInfo(sent)
		if err != nil {
			return nil, fmt.Errorf("tell what kind of request %s is: %w", sent.URL, err)
		}
		// The elections of leaders have their own pace.
		if info.IsResourceRequest && info.Resource != "leases" {
			c.add(strings.TrimSuffix(info.Verb+" "+info.Resource+"/"+info.Subresource, "/"))
		}
		return transport.RoundTrip(sent)
	})
}

func (c *counter) add(call string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.calls[call]++
}

// now is what has been done until now. Reconciles are those of the whole process, in which
// there is one operator at a time.
func (c *counter) now() (counts, error) {
	families, err := metrics.Registry.Gather()
	if err != nil {
		return counts{}, fmt.Errorf("read the metrics of the operator: %w", err)
	}
	reconciles := map[string]int{}
	for _, family := range families {
		if family.GetName() != "controller_runtime_reconcile_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if label.GetName() == "controller" {
					reconciles[label.GetValue()] += int(metric.GetCounter().GetValue())
				}
			}
		}
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return counts{Reconciles: reconciles, Calls: maps.Clone(c.calls)}, nil
}

type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return r(request) }

// heap is how many bytes are in use after two collections: the first runs finalizers, the
// second takes what they let go.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
