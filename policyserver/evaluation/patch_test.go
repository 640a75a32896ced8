package evaluation

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDiff(t *testing.T) {
	for name, tc := range map[string]struct{ object, mutated, want string }{
		"equal":                     {`{"a":1}`, `{ "a": 1 }`, ``},
		"member added":              {`{}`, `{"a":{"b":1}}`, `[{"op":"add","path":"/a","value":{"b":1}}]`},
		"null added":                {`{}`, `{"a":null}`, `[{"op":"add","path":"/a","value":null}]`},
		"member removed":            {`{"a":1,"b":2}`, `{"b":2}`, `[{"op":"remove","path":"/a"}]`},
		"null removed":              {`{"a":null}`, `{}`, `[{"op":"remove","path":"/a"}]`},
		"type changed":              {`{"a":1}`, `{"a":"1"}`, `[{"op":"replace","path":"/a","value":"1"}]`},
		"set to null":               {`{"a":1}`, `{"a":null}`, `[{"op":"replace","path":"/a","value":null}]`},
		"escaped path":              {`{"a/b~c":1}`, `{"a/b~c":2}`, `[{"op":"replace","path":"/a~1b~0c","value":2}]`},
		"list grows":                {`{"a":[1]}`, `{"a":[1,2,3]}`, `[{"op":"add","path":"/a/-","value":2},{"op":"add","path":"/a/-","value":3}]`},
		"list shrinks":              {`{"a":[1,2,3]}`, `{"a":[1]}`, `[{"op":"remove","path":"/a/1"},{"op":"remove","path":"/a/1"}]`},
		"first of a list removed":   {`{"a":[1,2]}`, `{"a":[2]}`, `[{"op":"remove","path":"/a/1"},{"op":"replace","path":"/a/0","value":2}]`},
		"list in another order":     {`{"a":[1,2]}`, `{"a":[2,1]}`, `[{"op":"replace","path":"/a/0","value":2},{"op":"replace","path":"/a/1","value":1}]`},
		"digits of a large integer": {`{"a":9007199254740993}`, `{"a":9007199254740992}`, `[{"op":"replace","path":"/a","value":9007199254740992}]`},
		"another kind of document":  {`{"a":1}`, `[1]`, `[{"op":"add","path":"","value":[1]}]`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := diff(json.RawMessage(tc.object), json.RawMessage(tc.mutated))
			if err != nil {
				t.Fatal(err)
			}
			if tc.want == "" {
				if got != nil {
					t.Fatalf("got %s, want no patch", got)
				}
				return
			}
			if diff := cmp.Diff(decode(t, []byte(tc.want)), decode(t, got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if !bytes.Equal(canonical(t, apply(t, []byte(tc.object), got)), canonical(t, []byte(tc.mutated))) {
				t.Errorf("the patch %s does not make %s out of %s", got, tc.mutated, tc.object)
			}
		})
	}
}

func decode(t *testing.T, data []byte) any {
	t.Helper()
	var value any
	if err := unmarshalExact(data, &value); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	return value
}

func canonical(t *testing.T, data []byte) []byte {
	t.Helper()
	encoded, err := json.Marshal(decode(t, data))
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// operation is one of a JSON patch.
type operation struct {
	Op, Path string
	Value    any
}

// apply is a JSON patch as RFC 6902 has it, for add, remove and replace.
func apply(t *testing.T, document, patch []byte) []byte {
	t.Helper()
	root := map[string]any{"": decode(t, document)}
	var operations []operation
	if err := unmarshalExact(patch, &operations); err != nil {
		t.Fatal(err)
	}
	for _, next := range operations {
		root = next.apply(t, root, strings.Split(next.Path, "/")).(map[string]any)
	}
	encoded, err := json.Marshal(root[""])
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func (o operation) apply(t *testing.T, at any, tokens []string) any {
	t.Helper()
	token := strings.NewReplacer("~1", "/", "~0", "~").Replace(tokens[0])
	switch at := at.(type) {
	case map[string]any:
		switch {
		case len(tokens) > 1:
			at[token] = o.apply(t, at[token], tokens[1:])
		case o.Op == "remove":
			delete(at, token)
		default:
			at[token] = o.Value
		}
		return at
	case []any:
		if token == "-" {
			return append(at, o.Value)
		}
		index, err := strconv.Atoi(token)
		if err != nil || index >= len(at) {
			t.Fatalf("no item %s", token)
		}
		switch {
		case len(tokens) > 1:
			at[index] = o.apply(t, at[index], tokens[1:])
		case o.Op == "remove":
			return append(at[:index:index], at[index+1:]...)
		default:
			at[index] = o.Value
		}
		return at
	default:
		t.Fatalf("no container at %s", token)
		return nil
	}
}
