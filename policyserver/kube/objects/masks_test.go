package objects

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// pruned is what prune is to answer, by decoding all of the object.
func pruned(t *testing.T, m *mask, object []byte) string {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(object))
	decoder.UseNumber()
	var members map[string]any
	if err := decoder.Decode(&members); err != nil {
		t.Fatal(err)
	}
	left := map[string]any{}
	for name, value := range members {
		switch {
		case name == "apiVersion" || name == "kind" || name == "metadata":
			left[name] = value
		case m.members[name] != nil:
			left[name] = chosen(m.members[name], value)
		}
	}
	text, err := json.Marshal(left)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func chosen(m *mask, value any) any {
	if len(m.members) == 0 {
		return value
	}
	switch value := value.(type) {
	case []any:
		items := make([]any, 0, len(value))
		for _, item := range value {
			items = append(items, chosen(m, item))
		}
		return items
	case map[string]any:
		members := map[string]any{}
		for name, member := range value {
			if next := m.members[name]; next != nil {
				members[name] = chosen(next, member)
			}
		}
		return members
	default:
		return value
	}
}

// FuzzPrune holds that what is left of an object is what is left of it when it is decoded.
func FuzzPrune(f *testing.F) {
	const object = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","labels":{"a,b":"}"}},"spec":{"n":-1.50e3,"deep":[[{"image":"i\"]","x":null}],{"image":true},7,"s"],"ä\"q":{"p":[],"o":{}}},"status":{}}`
	for _, paths := range []string{"spec", "spec.deep", "spec.deep.image", "spec.deep.x", "spec.n,status", "spec.ä\"q.p", "spec.ä\"q", "nothing", "spec.n.more", "kind.x", "metadata.name", ".", "spec.deep.image,spec"} {
		f.Add(object, paths)
	}
	f.Add(`{}`, "a")
	f.Add(`{"a":"\\","b":[1,2,{"c":3}],"c":[]}`, "a,b.c,c.d")
	f.Fuzz(func(t *testing.T, text, paths string) {
		var members map[string]any
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		if decoder.Decode(&members) != nil || members == nil {
			return // no JSON object
		}
		object, err := json.Marshal(members)
		if err != nil {
			return // numbers that are none
		}
		m := newMask(strings.Split(paths, ","))
		got, err := m.prune(object)
		if want := pruned(t, m, object); err != nil || string(got) != want {
			t.Errorf("%q of %s:\n got %s, %v\nwant %s", paths, object, got, err, want)
		}
	})
}

func TestPruneRefusesWhatIsNoObject(t *testing.T) {
	for _, text := range []string{"", "[]", "7"} {
		if got, err := newMask([]string{"a"}).prune([]byte(text)); err == nil {
			t.Errorf("of %q was left %s, want an error", text, got)
		}
	}
}
