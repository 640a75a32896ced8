package policy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/metadata"
)

// namespaces is a cluster of so many Namespaces, whose version each change raises. A
// document is made once for each form and version, as that of a cluster is.
type namespaces struct {
	reads

	mutex     sync.Mutex
	number    int
	version   int
	documents map[host.Form][]byte
}

func (n *namespaces) change() int {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.version++
	n.documents = nil
	return n.version
}

func (n *namespaces) now() int {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	return n.version
}

func (n *namespaces) Inventory(_ context.Context, _ host.Request, form host.Form) ([]byte, error) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if document := n.documents[form]; document != nil {
		return document, nil
	}
	objects := map[string]any{}
	for i := range n.number {
		name := fmt.Sprintf("team-%04d", i)
		objects[name] = map[string]any{
			"apiVersion": "v1", "kind": "Namespace", "spec": map[string]any{"finalizers": []string{"kubernetes"}}, "status": map[string]any{"phase": "Active"},
			"metadata": map[string]any{
				"name": name, "uid": fmt.Sprintf("00000000-0000-0000-0000-%012d", i), "resourceVersion": fmt.Sprint(1000 + i), "creationTimestamp": "2026-06-01T00:00:00Z",
				"labels": map[string]any{"kubernetes.io/metadata.name": name, "team": fmt.Sprint(i % 100), "cost-centre": "4711"}, "annotations": map[string]any{"owner": name + "@example.com"},
			},
		}
	}
	objects["version"] = map[string]any{"metadata": map[string]any{"name": "version", "labels": map[string]any{"version": fmt.Sprint(n.version)}}}
	var document any = map[string]any{"namespaces": objects}
	if form == host.FormGatekeeper {
		document = map[string]any{"namespace": map[string]any{}, "cluster": map[string]any{"v1": map[string]any{"Namespace": objects}}}
	}
	content, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	if n.documents == nil {
		n.documents = map[host.Form][]byte{}
	}
	n.documents[form] = content
	return content, nil
}

// namespaceReaders refuse every request, with the version of the cluster, the number of its
// namespaces and the name in the request.
func namespaceReaders(t testing.TB) map[string][]byte {
	t.Helper()
	return map[string][]byte{
		"opa": regoModule(t, metadata.ModeOPA, `
known := {n | data.kubernetes.namespaces[n]}
main := {"response": {"uid": "", "allowed": false, "status": {"message": sprintf("version %v of %d, %v, %v",
	[data.kubernetes.namespaces.version.metadata.labels.version, count(known), input.request.name, data.limit])}}}`),
		"gatekeeper": regoModule(t, metadata.ModeGatekeeper, `
violation[{"msg": sprintf("version %v of %d, %v, %v", [data.inventory.cluster.v1.Namespace.version.metadata.labels.version, count(known), input.review.name, input.parameters.limit])}] {
	known := {n | data.inventory.cluster.v1.Namespace[n]}
}`),
	}
}

// told is what a reader of namespaces answered.
func told(t testing.TB, module *policy.Module, call policy.Call, name string) string {
	t.Helper()
	response, err := module.Validate(t.Context(), call, json.RawMessage(`{"uid":"","name":"`+name+`"}`))
	if err != nil {
		t.Error(err)
		return ""
	}
	switch {
	case response.Message != nil:
		return *response.Message
	case response.Status != nil && response.Status.Message != nil:
		return *response.Status.Message
	}
	t.Errorf("got %+v, want a message", response)
	return ""
}

func newReadingEngine(t testing.TB, cluster host.Capability, config policy.Config) *policy.Engine {
	t.Helper()
	config.Capabilities = map[string]host.Capability{"kubernetes": cluster}
	return newEngine(t, config)
}

// Whatever is asked of a policy, and whenever its data changes, an instance that has read
// the data before answers what one says that reads it for the request.
func TestDataThatChangesIsReadAsByAFreshInstance(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for mode, binary := range namespaceReaders(t) {
		t.Run(mode, func(t *testing.T) {
			cluster := &namespaces{number: 100}
			fresh := compile(t, newReadingEngine(t, cluster, policy.Config{Isolation: policy.IsolationFresh}), binary)
			budget := memory.NewBudget(memory.Plan{Limit: 1 << 30, Modules: 1 << 29, Guests: 1 << 29}, nil)
			engine := newReadingEngine(t, cluster, policy.Config{Memory: budget})
			pristine := compile(t, engine, binary)
			call := policy.Call{Capabilities: readingNamespaces(t, "kubernetes/*")}
			for range 200 {
				switch random.IntN(6) {
				case 0:
					cluster.change()
				case 1:
					call.Settings = fmt.Appendf(nil, `{"limit":%d}`, random.IntN(3))
				default:
					request := json.RawMessage(fmt.Sprintf(`{"uid":"","name":%q}`, strings.Repeat("n", random.IntN(9))))
					want, wantErr := fresh.Validate(t.Context(), call, request)
					got, err := pristine.Validate(t.Context(), call, request)
					if !reflect.DeepEqual(got, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
						t.Fatalf("got %+v, %v; a fresh instance answers %+v, %v", got, err, want, wantErr)
					}
				}
			}
			if stats := engine.Stats(); stats.DatasetsMade < 10 || stats.WithoutDataset != 0 {
				t.Errorf("got %+v, want that data was read for many requests together", stats)
			}
			checkGivenBack(t, pristine, budget)
		})
	}
}

// checkGivenBack closes a module, the only one of its engine, and looks for what is left.
func checkGivenBack(t *testing.T, module *policy.Module, budget *memory.Budget) {
	t.Helper()
	if err := module.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if usage := budget.Usage(memory.Guests); usage.Held != 0 {
		t.Errorf("%d bytes of guests are held by nobody", usage.Held)
	}
}

// While the data changes under many callers, nobody is judged by data that is older than the
// request.
func TestDataIsNeverOlderThanTheRequest(t *testing.T) {
	const callers, calls = 20, 30
	for mode, binary := range namespaceReaders(t) {
		t.Run(mode, func(t *testing.T) {
			cluster := &namespaces{number: 100}
			engine := newReadingEngine(t, cluster, policy.Config{})
			module := compile(t, engine, binary)
			call := policy.Call{Capabilities: readingNamespaces(t, "kubernetes/*"), Settings: json.RawMessage(`{"limit":7}`)}
			var asked atomic.Int64
			var running sync.WaitGroup
			for caller := range callers {
				running.Go(func() {
					for range calls {
						cluster.checkAge(t, module, call, fmt.Sprint("caller-", caller))
						if asked.Add(1)%25 == 0 {
							cluster.change()
						}
					}
				})
			}
			running.Wait()
			if stats := engine.Stats(); stats.DatasetsMade == 0 || stats.Datasets > 1 {
				t.Errorf("got %+v, want that data was read for many requests together, and the last alone is kept", stats)
			}
		})
	}
}

// checkAge asks once, and checks which version of the cluster the answer is about.
func (n *namespaces) checkAge(t *testing.T, module *policy.Module, call policy.Call, name string) {
	t.Helper()
	before := n.now()
	got := told(t, module, call, name)
	after := n.now()
	var version int
	if _, err := fmt.Sscanf(got, "version %d of ", &version); err != nil || version < before || version > after {
		t.Errorf("%s: got %q, want a version from %d to %d", name, got, before, after)
	}
	if want := fmt.Sprintf(" of %d, %s, 7", n.number+1, name); !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want %q at its end", got, want)
	}
}

// BenchmarkData asks a policy that reads 3,000 Namespaces: again while nothing has changed,
// and after each change.
func BenchmarkData(b *testing.B) {
	for mode, binary := range namespaceReaders(b) {
		for _, changes := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/changed=%v", mode, changes), func(b *testing.B) {
				cluster := &namespaces{number: 3000}
				engine := newReadingEngine(b, cluster, policy.Config{})
				module := compile(b, engine, binary)
				granted, err := host.NewGrants([]string{"*"}, []host.Resource{{APIVersion: "v1", Kind: "Namespace"}})
				if err != nil {
					b.Fatal(err)
				}
				call := policy.Call{Capabilities: granted, Settings: json.RawMessage(`{"limit":7}`)}
				told(b, module, call, "first")
				told(b, module, call, "second")
				for b.Loop() {
					if changes {
						cluster.change()
					}
					told(b, module, call, "n")
				}
				document, _ := cluster.Inventory(b.Context(), host.Request{}, host.Form(mode))
				b.ReportMetric(float64(len(document)), "document-bytes")
				b.ReportMetric(float64(engine.Stats().DatasetBytes), "shared-bytes")
			})
		}
	}
}
