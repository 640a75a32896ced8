package scan

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubewarden/kubewarden-operator/audit/plan"
	"github.com/kubewarden/kubewarden-operator/matching"
)

// shelves are the names of Pods by namespace.
type shelves map[string][]string

func (s shelves) List(_ context.Context, _ schema.GroupVersionResource, namespace string, _ metav1.ListOptions) ([]byte, error) {
	items := make([]any, 0, len(s[namespace]))
	for _, name := range s[namespace] {
		items = append(items, map[string]any{"metadata": map[string]any{"namespace": namespace, "name": name, "uid": namespace + "/" + name}})
	}
	return json.Marshal(map[string]any{"items": items})
}

// hesitant answers a question about an object when it is told to.
type hesitant struct {
	mu    sync.Mutex
	asked map[string]chan struct{}
}

func (h *hesitant) RoundTrip(request *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	review := struct{ Request struct{ UID string } }{}
	if err := json.Unmarshal(body, &review); err != nil {
		return nil, err
	}
	told := make(chan struct{})
	h.mu.Lock()
	h.asked[review.Request.UID] = told
	h.mu.Unlock()
	<-told
	answer, err := json.Marshal(map[string]any{"response": map[string]any{"uid": review.Request.UID, "allowed": true}})
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(answer)), Request: request}, err
}

// underWay are the objects about which there is a question without an answer.
func (h *hesitant) underWay() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.asked))
}

func (h *hesitant) tell(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if told := h.asked[name]; told != nil {
		close(told)
	}
	delete(h.asked, name)
}

// progression is how a scan of places goes on, answer by answer.
type progression struct {
	// parallel places at once, and desks for each.
	parallel, desks int
	pods            shelves
	steps           []step
}

// step is an answer, and about which objects there are questions then.
type step struct {
	answer   string
	underWay []string
}

func TestTheNextPlaceIsBegunWhileOneIsEnding(t *testing.T) {
	for name, tc := range map[string]progression{
		"one is ending, one is begun": {
			parallel: 1, desks: 10, pods: shelves{"a": {"1"}, "b": {"1"}, "c": {"1"}, "d": {"1"}},
			steps: []step{{"", []string{"a/1", "b/1"}}, {"b/1", []string{"a/1"}}, {"a/1", []string{"c/1", "d/1"}}},
		},
		"no more objects at once than in one": {
			parallel: 1, desks: 3, pods: shelves{"a": {"1", "2"}, "b": {"1", "2", "3"}, "c": {"1"}},
			steps: []step{
				{"", []string{"a/1", "a/2", "b/1"}},
				{"a/1", []string{"a/2", "b/1", "b/2"}},
				{"a/2", []string{"b/1", "b/2", "b/3"}},
				{"b/1", []string{"b/2", "b/3", "c/1"}},
			},
		},
		"several at once have desks of their own": {
			parallel: 2, desks: 1, pods: shelves{"a": {"1", "2"}, "b": {"1"}, "c": {"1"}},
			steps: []step{{"", []string{"a/1", "b/1"}}, {"b/1", []string{"a/1", "c/1"}}, {"c/1", []string{"a/1"}}, {"a/1", []string{"a/2"}}},
		},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, tc.hold) })
	}
}

func (p progression) hold(t *testing.T) {
	policies := &hesitant{asked: map[string]chan struct{}{}}
	r := p.run(policies)
	ended := make(chan error, 1)
	go func() {
		ended <- r.rounds(t.Context(), []place{{namespace: "a"}, {namespace: "b"}, {namespace: "c"}, {namespace: "d"}})
	}()
	for i, step := range p.steps {
		policies.tell(step.answer)
		synctest.Wait()
		if diff := cmp.Diff(step.underWay, policies.underWay()); diff != "" {
			t.Errorf("step %d: under way (-want +got):\n%s", i, diff)
		}
	}
	for len(policies.underWay()) > 0 {
		policies.tell(policies.underWay()[0])
		synctest.Wait()
	}
	objects := 0
	for _, names := range p.pods {
		objects += len(names)
	}
	if err := <-ended; err != nil || r.counts.summary(nil).Objects != objects {
		t.Errorf("%d of %d objects were audited, error %v", r.counts.summary(nil).Objects, objects, err)
	}
}

// run is a scan in which one policy is asked about each Pod.
func (p progression) run(policies http.RoundTripper) *run {
	in := benchInput()
	in.Policies = in.Policies[:1]
	config := Config{
		Objects: p.pods, DisableStore: true, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Asker:              NewAsker(AskerConfig{Transport: policies, Parallel: 100, Now: time.Now}),
		ParallelNamespaces: p.parallel, ParallelResources: p.desks, ParallelPolicies: 1, PageSize: 100,
	}
	return &run{
		Scanner: &Scanner{config: config}, plan: plan.New(matching.NewCompiler(), in), servers: map[string]endpoint{"default": {url: doubleURL}},
	}
}
