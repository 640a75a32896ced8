package document_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
)

// FuzzRead reads documents whole, of members of the same name the first: what encoding/json
// takes is what it is there, and whatever else there is ends in an error or a value.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		`{"a":{"b":[1,-2.5e3,true,false,null,"x"],"a":2},"a":null}`, ` [ ] `, `"\u00e4\ud83d\ude00\"\\"`, `{"\u0061":1,"a":2}`, `[[[[[[[[[]]]]]]]]]`,
		`{"a"`, `{"a":]`, `[1,]`, `{"a" 1}`, `"\`, `"\\\\\\\\"`, "{\"ä\":\"\xff\"}", `{"metadata":{"labels":{"team":"a"}},"spec":{"containers":[{"image":"r.test/a:1"}]}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		value, err := document.Read(bytes.Clone(content))
		if err == nil {
			_, _ = value.Get("a", "b")
			_, _ = value.Members("a", "", "b")
		}
		var got any
		if err == nil {
			got, err = whole(value)
		}
		if !json.Valid(content) || !utf8.Valid(content) {
			return
		}
		if err != nil {
			t.Fatalf("%s: %v", content, err)
		}
		decoder := json.NewDecoder(bytes.NewReader(content))
		decoder.UseNumber()
		if diff := cmp.Diff(reference(t, decoder), got); diff != "" {
			t.Errorf("%s: -want +got\n%s", content, diff)
		}
	})
}

// whole is a value as encoding/json decodes it, but that members of null are none.
func whole(value document.Value) (any, error) {
	switch json := value.JSON(); {
	case strings.HasPrefix(json, "{"):
		entries, err := value.Entries()
		object := map[string]any{}
		for _, entry := range entries {
			if _, seen := object[entry.Name]; !seen {
				var wrong error
				if object[entry.Name], wrong = whole(entry.Value); wrong != nil {
					return nil, wrong
				}
			}
		}
		return object, err
	case strings.HasPrefix(json, "["):
		elements, err := value.List()
		list := make([]any, 0, len(elements))
		for _, element := range elements {
			one, wrong := whole(element)
			if wrong != nil {
				return nil, wrong
			}
			list = append(list, one)
		}
		return list, err
	case strings.HasPrefix(json, `"`):
		return value.Text()
	case json == "true", json == "false":
		return value.Bool()
	case json == "null", json == "":
		return nil, nil
	default:
		return fmt.Sprint("number ", json), nil
	}
}

// reference is the next value of a document.
func reference(t *testing.T, decoder *json.Decoder) any {
	token, err := decoder.Token()
	if err != nil {
		t.Fatal(err)
	}
	switch token := token.(type) {
	case json.Number:
		return "number " + token.String()
	case json.Delim:
		object, list := map[string]any{}, []any{}
		for decoder.More() {
			if token == '[' {
				list = append(list, reference(t, decoder))
				continue
			}
			name, is := reference(t, decoder).(string)
			if !is {
				t.Fatal("a name is no text")
			}
			value := reference(t, decoder)
			if _, seen := object[name]; !seen {
				object[name] = value
			}
		}
		if _, err := decoder.Token(); err != nil {
			t.Fatal(err)
		}
		if token == '[' {
			return list
		}
		return object
	default:
		return token
	}
}
