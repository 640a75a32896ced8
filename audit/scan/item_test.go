package scan

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubewarden/kubewarden-operator/audit/plan"
	"github.com/kubewarden/kubewarden-operator/matching"
)

// pageOf is an answer to a list request, in which objects need not say what they are.
func pageOf(tb testing.TB, objects ...map[string]any) []byte {
	tb.Helper()
	answer, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "metadata": map[string]any{}, "items": objects})
	if err != nil {
		tb.Fatal(err)
	}
	return answer
}

// itemOf is an object as it is listed.
func itemOf(tb testing.TB, resource matching.Resource, object map[string]any) *item {
	tb.Helper()
	items, _ := itemsIn(tb, resource, pageOf(tb, object))
	return items[0]
}

// itemsIn are those of an answer to a list request.
func itemsIn(tb testing.TB, resource matching.Resource, answer []byte) (items []*item, next string) {
	tb.Helper()
	page, err := parsePage(answer)
	if err == nil {
		err = page.each(resource.GVK(), func(object *item) error {
			items = append(items, object)
			return nil
		})
	}
	if err != nil {
		tb.Fatal(err)
	}
	return items, page.next
}

func TestItemsGoOnAsTheyCame(t *testing.T) {
	const metadata = `{"name":"web","namespace":"team-a","uid":"uid-1","resourceVersion":"42","labels":{"app":"web","a\"b":"c\u0041"},"managedFields":[{"name":"not this"}]}`
	for name, tc := range map[string]struct{ object, want string }{
		"of a kind that is built in": {
			`{"metadata":` + metadata + `,"spec":{"b":1.0,"a":1e3,"text":"\u003c\/"},"status":null}`,
			`{"apiVersion":"v1","kind":"Pod","metadata":` + metadata + `,"spec":{"b":1.0,"a":1e3,"text":"\u003c\/"},"status":null}`,
		},
		"of a custom kind, which says what it is": {
			`{"apiVersion":"example.com/v1","kind":"Other","metadata":` + metadata + `,"spec":{"kind":"inner","apiVersion":"inner"}}`,
			`{"apiVersion":"v1","kind":"Pod","metadata":` + metadata + `,"spec":{"kind":"inner","apiVersion":"inner"}}`,
		},
		"that says it in between, with blanks": {
			"{ \"metadata\" : " + metadata + ",\n \"kind\" : \"Pod\" , \"data\" : [ 1 , {} ] }",
			`{"apiVersion":"v1","kind":"Pod","metadata":` + metadata + `,"data":[ 1 , {} ]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			items, next := itemsIn(t, pods, []byte(`{"items":[{"metadata":{"uid":"before"}},`+tc.object+`],"metadata":{"continue":"to\u006ben","resourceVersion":"7"}}`))
			if len(items) != 2 || next != "token" {
				t.Fatalf("%d items, next %q; want 2, token", len(items), next)
			}
			got := items[1]
			if diff := cmp.Diff(tc.want, string(got.text)); diff != "" {
				t.Errorf("text (-want +got):\n%s", diff)
			}
			wantScope := corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: "team-a", Name: "web", UID: "uid-1", ResourceVersion: "42"}
			if diff := cmp.Diff(wantScope, scope(plan.Version{Resource: pods}, got)); diff != "" {
				t.Errorf("scope (-want +got):\n%s", diff)
			}
			checkLabels(t, got, map[string]string{"app": "web", `a"b`: "cA"})
		})
	}
}

// checkLabels holds that labels are read as a decoder reads them.
func checkLabels(t *testing.T, got *item, want map[string]string) {
	t.Helper()
	whole, err := got.whole()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.metadata().GetLabels()); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, whole.GetLabels()); diff != "" {
		t.Errorf("labels of the whole object (-want +got):\n%s", diff)
	}
}

func TestAnswersThatAreNoListsAreErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		answer string
		items  int
		want   error
	}{
		"no items":            {answer: `{"items":[]}`},
		"none, as Go says it": {answer: `{"items":null}`},
		"no members":          {answer: `{"items":[{}]}`, items: 1},
		"no metadata":         {answer: `{"items":[{"metadata":null},{"metadata":{"labels":null}},{"metadata":"web"}]}`, items: 3},
		"no objects":          {answer: `{"items":[{},null]}`, items: 1, want: errNoList},
		"no list":             {answer: `{"kind":"Pod"}`, want: errNoList},
		"an object of items":  {answer: `{"items":{}}`, want: errNoList},
		"cut off":             {answer: `{"items":[{"metadata":{}}`, want: errNoList},
		"nothing":             {want: errNoList},
	} {
		t.Run(name, func(t *testing.T) {
			page, err := parsePage([]byte(tc.answer))
			items := 0
			if err == nil {
				err = page.each(pods.GVK(), func(object *item) error {
					items++
					if object.labels != nil || !json.Valid(object.text) {
						t.Errorf("got %+v", object)
					}
					return nil
				})
			}
			if !errors.Is(err, tc.want) || items != tc.items {
				t.Errorf("%d items, error %v; want %d, %v", items, err, tc.items, tc.want)
			}
		})
	}
}

func TestItemsEndWithTheFirstError(t *testing.T) {
	page, err := parsePage([]byte(`{"items":[{},{}]}`))
	if err != nil {
		t.Fatal(err)
	}
	enough, found := errors.New("enough"), 0
	if err := page.each(pods.GVK(), func(*item) error { found++; return enough }); !errors.Is(err, enough) || found != 1 {
		t.Errorf("found %d, error %v", found, err)
	}
}

func TestWhatIsNoTextBecomesTextAsJSONHasIt(t *testing.T) {
	items, _ := itemsIn(t, pods, []byte("{\"items\":[{\"metadata\":{\"name\":\"a\xffb\"}}]}"))
	if items[0].name != "a\uFFFDb" || strings.ToValidUTF8(string(items[0].text), "") != string(items[0].text) {
		t.Errorf("name %q in %q", items[0].name, items[0].text)
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(items[0].text); err != nil || object.GetName() != items[0].name {
		t.Errorf("a decoder reads %q, %v", object.GetName(), err)
	}
}

// What an aggregated API server answers is foreign: whatever it is, what goes on is JSON.
func FuzzItemsAreJSON(f *testing.F) {
	for _, answer := range []string{
		`{"items":[{"metadata":{"name":"web","labels":{"a":"b"}},"spec":{"c":[1,2]}}],"metadata":{"continue":"x"}}`,
		`{"items":null}`, `{"items":[{"kind":"Pod","apiVersion":"v1"},{}]}`, "{\"items\":[{\"\\u006betadata\":\"\xff\"}]}", `[{"items":[]}]`,
	} {
		f.Add([]byte(answer))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		page, err := parsePage(answer)
		if err != nil {
			return
		}
		_ = page.each(pods.GVK(), func(object *item) error {
			if !json.Valid(object.text) || !utf8.Valid(object.text) {
				t.Errorf("of %q goes on %q", answer, object.text)
			}
			return nil
		})
	})
}
