package guest_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
)

func TestEachContainer(t *testing.T) {
	for name, tc := range map[string]struct {
		kind, object string
		want         []string
	}{
		"of all lists":             {"Pod", ` {"spec": {"nodeName":"n","containers":[{"image":"i"} , {"image":"j"}],"ephemeralContainers":[{}],"initContainers":[{"a":[]}]}}`, []string{`initContainers {"a":[]}`, `containers {"image":"i"}`, `containers {"image":"j"}`, `ephemeralContainers {}`}},
		"a name with an escape":    {"Pod", `{"spec":{"\u0063ontainers":[1]}}`, []string{"containers 1"}},
		"the first of two lists":   {"Pod", `{"spec":{"containers":[1],"containers":[2]}}`, []string{"containers 1"}},
		"null in the place of one": {"Pod", `{"spec":{"containers":null,"initContainers":[null]}}`, []string{"initContainers null"}},
		"no specification":         {"Pod", `{}`, nil},
		"a kind that runs no Pods": {"ConfigMap", `{"spec":{"containers":[{}]}}`, nil},
		"a template":               {"Job", `{"spec":{"template":{"spec":{"containers":[{}]}}}}`, []string{"containers {}"}},
		"no object":                {"Pod", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			err := guest.Request{Kind: guest.Kind{Kind: tc.kind}, Object: document.MustRead(tc.object)}.EachContainer(func(list string, container document.Value) error {
				got = append(got, list+" "+container.JSON())
				return nil
			})
			if diff := cmp.Diff(tc.want, got); err != nil || diff != "" {
				t.Errorf("%v, -want +got\n%s", err, diff)
			}
		})
	}
}

// What cannot be read is not let through.
func TestEachContainerNamesThePlace(t *testing.T) {
	for object, want := range map[string]string{
		`[]`:                                  "decode Pod: got [], want an object",
		`{"spec":[]}`:                         "decode Pod: spec: got [], want an object",
		`{"spec":{"containers":{}}}`:          "decode Pod: containers: got {}, want a list",
		`{"spec":{"initContainers":[{},{}]}}`: "decode Pod: initContainers[1]: not this one",
	} {
		calls := 0
		err := guest.Request{Kind: guest.Kind{Kind: "Pod"}, Object: document.MustRead(object)}.EachContainer(func(string, document.Value) error {
			if calls++; calls == 2 {
				return errors.New("not this one")
			}
			return nil
		})
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", object, err, want)
		}
	}
}
