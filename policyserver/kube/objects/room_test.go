package objects

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

const (
	askPods       = `{"api_version":"v1","kind":"Pod"}`
	askNamespaces = `{"api_version":"v1","kind":"Namespace"}`
)

// allowing is a budget with so many bytes for objects.
func allowing(bytes int64) *memory.Budget {
	return memory.NewBudget(memory.Plan{Limit: 1 << 30, Objects: bytes}, nil)
}

// large is a Pod that takes at least so many bytes.
func large(name string, bytes int) *unstructured.Unstructured {
	return pod("team", name, map[string]any{"filling": strings.Repeat("x", bytes)})
}

func (c *cluster) held() int64 { return c.config.Memory.Usage(memory.Objects).Held }

// A kind whose objects do not fit is refused, by name and with numbers, and others are read.
func TestKindWithoutRoom(t *testing.T) {
	c := newClusterWithin(t, allowing(2<<20), nil)
	if err := c.objects.Tracker().Add(large("large", 1<<20)); err != nil { // counted as JSON and as a label
		t.Fatal(err)
	}
	const want = "the objects of v1/Pod need 2.0 MiB of memory or more; all kinds may have 2.0 MiB of the memory limit of 1024.0 MiB, and others have 0.0 MiB of it"
	for range 2 {
		got, err := c.as(t, asking{"", operationListAll, askPods}, "Pod")
		checkAnswer(t, got, err, expected{"", want})
		if over, is := errors.AsType[*memory.OverError](err); !is || over.Kind != memory.Objects {
			t.Errorf("got %v, want one of the budget", err)
		}
	}
	if lists := len(c.objects.Actions()); lists != 1 {
		t.Errorf("the API server was asked %d times for what has no room, want once", lists)
	}
	_, err := c.Inventory(t.Context(), host.Request{Grants: granted(t, "Pod", "Namespace")}, host.FormOPA)
	if err == nil || err.Error() != want {
		t.Errorf("policies in Rego get %v, want %s", err, want)
	}
	if got, err := c.as(t, asking{"", operationListAll, askNamespaces}, "Namespace"); err != nil || !strings.Contains(got, "team") {
		t.Errorf("another kind: got %s, %v", got, err)
	}
	c.Close()
	if held := c.held(); held != 0 {
		t.Errorf("%d bytes are counted when nothing is kept", held)
	}
}

// What comes in pages is refused at the page that has no room.
func TestNoMorePagesThanThereIsRoomFor(t *testing.T) {
	served := newAPIServer(t)
	pages := 0
	served.list = func(query url.Values) any {
		pages++
		if query.Get("limit") != strconv.Itoa(pageSize) {
			t.Errorf("got %v, want pages of %d", query, pageSize)
		}
		return podsOf(fmt.Sprint("page ", pages), large(fmt.Sprint("pod-", pages), 20<<10))
	}
	c := served.cluster(t, Config{Memory: allowing(100 << 10)})
	_, err := c.as(t, asking{"", operationListAll, askPods}, "Pod")
	if !isNoRoom(err) {
		t.Fatalf("got %v, want that there is no room", err)
	}
	c.Close()
	if pages != 3 { // of 40 KiB each
		t.Errorf("%d pages were asked for, want 3", pages)
	}
	if held := c.held(); held != 0 {
		t.Errorf("%d bytes are counted of what is gone", held)
	}
}

// A list of several pages is one list.
func TestPagesAreJoined(t *testing.T) {
	served := newAPIServer(t)
	served.list = func(query url.Values) any {
		if query.Get("continue") == "" {
			return podsOf("more", pod("team", "a", nil))
		}
		return podsOf("", pod("team", "b", nil))
	}
	got, err := served.cluster(t, Config{}).as(t, asking{"", operationListAll, askPods}, "Pod")
	if err != nil || !strings.Contains(got, `"name":"a"`) || !strings.Contains(got, `"name":"b"`) {
		t.Errorf("got %s, %v; want both", got, err)
	}
}

// What nobody has used for a moment goes for what somebody asks for, and comes back.
func TestUnusedKindsGoFirst(t *testing.T) {
	var mu sync.Mutex
	now := time.Unix(0, 0)
	after := func(passed time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(passed)
	}
	c := newClusterWithin(t, allowing(1000), func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	})
	kept := func() string {
		var names []string
		for _, usage := range c.Usage() {
			if usage.Objects > 0 {
				names = append(names, usage.Kind)
			}
		}
		return strings.Join(names, " ")
	}
	for _, step := range []struct {
		what          string
		passed        time.Duration
		ask, kind     string
		wantErr, kept string
	}{
		{"there is room for the first", 0, askPods, "Pod", "", "Pod"},
		{"the first was just used", idle, askNamespaces, "Namespace", "the objects of v1/Namespace need ", "Pod"},
		{"a kind is not tried at once again", idle, askNamespaces, "Namespace", "the objects of v1/Namespace need ", "Pod"},
		{"nobody has used the first", idle + time.Second, askNamespaces, "Namespace", "", "Namespace"},
		{"the second was just used", 0, askPods, "Pod", "the objects of v1/Pod need ", "Namespace"},
		{"nobody has used the second", retryNoRoom + time.Second, askPods, "Pod", "", "Pod"},
	} {
		after(step.passed)
		_, err := c.as(t, asking{"", operationListAll, step.ask}, step.kind)
		if step.wantErr == "" && err != nil || step.wantErr != "" && (err == nil || !strings.HasPrefix(err.Error(), step.wantErr)) {
			t.Errorf("%s: got %v, want %q", step.what, err, step.wantErr)
		}
		if got := kept(); got != step.kept {
			t.Errorf("%s: %s is kept, want %s", step.what, got, step.kept)
		}
	}
}

// A kind that outgrows its room while it is watched is refused from then on.
func TestKindOutgrowsItsRoom(t *testing.T) {
	c := newClusterWithin(t, allowing(4<<10), nil)
	following := watch.NewFake()
	c.objects.PrependWatchReactor("pods", clienttesting.DefaultWatchReactor(following, nil))
	if _, err := c.as(t, asking{"", operationListAll, askPods}, "Pod"); err != nil {
		t.Fatal(err)
	}
	following.Add(large("large", 4<<10))
	select { // it is closed when the watch ends over it
	case <-following.ResultChan():
	case <-time.After(time.Minute):
		t.Fatal("the watch goes on")
	}
	got, err := c.as(t, asking{"", operationListAll, askPods}, "Pod")
	checkAnswer(t, got, err, expected{"", "the objects of v1/Pod need "})
	if held := c.held(); held != 0 {
		t.Errorf("%d bytes are counted of what is gone", held)
	}
}

// Answers are kept where there is room for them, and count as long as they are.
func TestRepliesAndDocumentsAreCounted(t *testing.T) {
	of := func(bytes int64) (*store, *memory.Budget) {
		budget := allowing(bytes)
		s := newStore(kind{Resource: host.Resource{APIVersion: "v1", Kind: "Pod"}, resource: pods, namespaced: true})
		s.room = &room{budget: budget}
		if err := s.Replace([]any{pod("team", "b", nil)}, ""); err != nil {
			t.Fatal(err)
		}
		return s, budget
	}
	asked, err := decodeList([]byte(askPods), false)
	if err != nil {
		t.Fatal(err)
	}
	s, budget := of(1 << 20)
	before := budget.Usage(memory.Objects).Held
	reply, err := s.list(asked)
	if err != nil {
		t.Fatal(err)
	}
	made := &document{room: &room{budget: budget}}
	content, err := made.of(host.FormOPA, []*store{s})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := budget.Usage(memory.Objects).Held-before, int64(len(reply)+len(content)); got != want {
		t.Errorf("%d bytes are counted of an answer and a document, want %d", got, want)
	}
	if err := s.Delete(pod("team", "b", nil)); err != nil {
		t.Fatal(err)
	}
	if got := budget.Usage(memory.Objects).Held; got != int64(len(content)) {
		t.Errorf("%d bytes are counted after everything has gone but the document, want %d", got, len(content))
	}
	tight, budget := of(before + 1)
	if _, err := tight.list(asked); err != nil || budget.Usage(memory.Objects).Held != before || budget.Usage(memory.Objects).Refused != 0 {
		t.Errorf("got %v and %+v, want an answer that is not kept", err, budget.Usage(memory.Objects))
	}
	_, err = (&document{room: &room{budget: budget}}).of(host.FormOPA, []*store{tight})
	if err == nil || !strings.HasPrefix(err.Error(), "the data for policies in Rego, of v1/Pod, has 0.0 MiB: objects of the cluster need ") {
		t.Errorf("got %v, want that there is no room for a document", err)
	}
}

// Nobody takes what is not known for nothing at all.
func TestForgottenIsNotEmpty(t *testing.T) {
	s := newStore(kind{Resource: host.Resource{APIVersion: "v1", Kind: "Pod"}, resource: pods, namespaced: true})
	asked, err := decodeList([]byte(askPods), false)
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string, want error) {
		t.Helper()
		_, listErr := s.list(asked)
		_, dataErr := (&document{}).of(host.FormOPA, []*store{s})
		if !errors.Is(listErr, want) || !errors.Is(dataErr, want) {
			t.Errorf("%s: got %v and %v, want %v", when, listErr, dataErr, want)
		}
	}
	check("before all have come", errForgotten)
	if err := s.Replace([]any{pod("team", "b", nil)}, ""); err != nil {
		t.Fatal(err)
	}
	check("when all are known", nil)
	s.forget()
	check("when the right is gone", errForgotten)
	if err := s.Replace(nil, ""); err != nil {
		t.Fatal(err)
	}
	check("when there are none", nil)
	s.close()
	if err := s.Replace(nil, ""); err != nil {
		t.Fatal(err)
	}
	check("when the watch has ended", errForgotten)
}
