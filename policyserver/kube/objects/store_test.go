package objects

import (
	"errors"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

// Changes keep the order, and what was lent stays as it was.
func TestStoreKeepsOrder(t *testing.T) {
	s := newStore(kind{Resource: host.Resource{APIVersion: "v1", Kind: "Pod"}, resource: pods, namespaced: true})
	names := func(items []item) string {
		all := make([]string, 0, len(items))
		for _, next := range items {
			all = append(all, next.namespace+"/"+next.name+next.labels["x"])
		}
		return strings.Join(all, " ")
	}
	if err := s.Replace([]any{pod("b", "2", nil), pod("a", "9", nil)}, ""); err != nil {
		t.Fatal(err)
	}
	first, _, _ := s.all()
	lent := map[string][]item{"a/9 b/2": first}
	for _, step := range []struct {
		change func(any) error
		object *unstructured.Unstructured
		want   string
	}{
		{s.Add, pod("b", "1", nil), "a/9 b/1 b/2"},
		{s.Update, pod("b", "1", map[string]any{"x": "y"}), "a/9 b/1y b/2"},
		{s.Add, pod("c", "0", nil), "a/9 b/1y b/2 c/0"},
		{s.Delete, pod("a", "9", nil), "b/1y b/2 c/0"},
		{s.Delete, pod("a", "9", nil), "b/1y b/2 c/0"},
	} {
		if err := step.change(step.object); err != nil {
			t.Fatal(err)
		}
		got, _, _ := s.all()
		if names(got) != step.want {
			t.Errorf("got %s, want %s", names(got), step.want)
		}
		lent[step.want] = got
	}
	for want, items := range lent {
		if names(items) != want {
			t.Errorf("what was lent as %s is %s now", want, names(items))
		}
	}
	for _, next := range []*unstructured.Unstructured{pod("b", "1", nil), pod("b", "2", nil), pod("c", "0", nil)} {
		if err := s.Delete(next); err != nil {
			t.Fatal(err)
		}
	}
	if objects, size := s.held(); objects != 0 || size != 0 {
		t.Errorf("%d objects and %d bytes are left", objects, size)
	}
}

// A document is made once for each change.
func TestInventoryIsMadeOnceForEachChange(t *testing.T) {
	stored := newStore(kind{Resource: host.Resource{APIVersion: "v1", Kind: "Pod"}, resource: pods, namespaced: true})
	if err := stored.Replace(nil, ""); err != nil {
		t.Fatal(err)
	}
	made := &document{}
	content := func() []byte {
		got, err := made.of(host.FormOPA, []*store{stored})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	first := content()
	if again := content(); &first[0] != &again[0] {
		t.Error("the document was made again, and nothing had changed")
	}
	if err := stored.Add(pod("team", "b", map[string]any{"app": "b"})); err != nil {
		t.Fatal(err)
	}
	if got := string(content()); got != `{"pods":{"team":{"b":`+jsonB+`}}}` {
		t.Errorf("got %s after a change", got)
	}
	if other := newStore(stored.kind); other.Replace(nil, "") != nil {
		t.Fatal("replace failed")
	} else if got, err := made.of(host.FormOPA, []*store{other}); err != nil || string(got) != `{"pods":{}}` {
		t.Errorf("got %s, %v of another watch", got, err)
	}
}

// What cannot be told apart by its name is refused.
func TestInventoryRefusesTwoScopesUnderOneName(t *testing.T) {
	one := newStore(kind{Resource: host.Resource{APIVersion: "a/v1", Kind: "X"}, resource: schema.GroupVersionResource{Resource: "xs"}, namespaced: true})
	two := newStore(kind{Resource: host.Resource{APIVersion: "b/v1", Kind: "X"}, resource: schema.GroupVersionResource{Resource: "xs"}})
	if err := errors.Join(one.Replace(nil, ""), two.Replace(nil, "")); err != nil {
		t.Fatal(err)
	}
	_, err := (&document{}).of(host.FormOPA, []*store{one, two})
	if err == nil || !strings.HasPrefix(err.Error(), "xs is in the data twice") {
		t.Errorf("got %v", err)
	}
}
