package evaluation

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/protocol"
)

// A few bytes of a guest must not become gigabytes of a patch; what an API server stores
// is no problem.
func TestDiffOfLargeObjects(t *testing.T) {
	key := strings.Repeat("k", 20_000)
	container := `{"name":"app","image":"registry.example/app:1.2.3","env":[{"name":"A","value":"b"},{"name":"C","value":"d"}]}`
	deployment := func(image string) string {
		return `{"spec":{"template":{"spec":{"containers":[` + strings.Repeat(strings.Replace(container, "1.2.3", image, 1)+",", 14_000) + container + `]}}}}`
	}
	for name, tc := range map[string]struct {
		object, mutated string
		refused         bool
	}{
		"very many values":        {`{"a":[]}`, `{"a":[` + strings.Repeat("0,", 1_000_000) + `0]}`, true},
		"many values once":        {`{"a":[` + strings.Repeat("0,", 1_000_000) + `0]}`, `{"a":[]}`, true},
		"a long key":              {`{"` + key + `":[]}`, `{"` + key + `":[` + strings.Repeat("0,", 20_000) + `0]}`, true},
		"a long key with members": {`{"` + key + `":{}}`, `{"` + key + `":{` + strings.Repeat(`"a":{},`, 20_000) + `"b":{}}}`, true},
		"deep keys":               {`{}`, strings.Repeat(`{"`+key[:1000]+`":`, 100) + `[` + strings.Repeat("[],", 4000) + `0]` + strings.Repeat("}", 100), true},
		"1.5 MiB of containers":   {deployment("1.2.3"), deployment("4.5.6"), false},
		"a long text":             {`{"a":"b"}`, `{"a":"` + strings.Repeat(`,:{[\"`, 1<<20) + `"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			answer := protocol.ValidationResponse{Accepted: true, MutatedObject: json.RawMessage(tc.mutated)}
			verdict, err := fromPolicy(answer, json.RawMessage(tc.object))
			failure, refused := errors.AsType[*policy.Error](err)
			if refused != tc.refused || (err == nil) == refused || (verdict.Patch == nil) != refused {
				t.Fatalf("got error %v and a patch of %d bytes; want it refused: %t", err, len(verdict.Patch), tc.refused)
			}
			if refused && (failure.Kind != policy.KindGuest || !strings.HasSuffix(failure.Message, "a patch could have more than 67108864 bytes")) {
				t.Errorf("got a failure of kind %v, %q; want one of the guest", failure.Kind, failure.Message)
			}
		})
	}
}

// A patch makes the mutated object out of the object, whatever they are, and is no larger
// than was foreseen.
func FuzzDiff(f *testing.F) {
	for _, seed := range [][2]string{
		{`{"a":[1,2,{"b":null}],"c":1.50}`, `{"a":[2,{"b":1}],"d/~":"\u00e4"}`},
		{`{"":{"":1}}`, `{"":{"":[]}}`},
		{`1`, `"1"`},
		{`[[],[[]]]`, `[[1]]`},
		{`{"a":1,"a":2}`, `{"a":1}`},
		{`{"-":0}`, `{"-":[{"-":1}]}`},
		{`{"a":[1,2,3,4]}`, `{"a":[]}`},
		{`null`, `{}`},
	} {
		f.Add([]byte(seed[0]), []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, object, mutated []byte) {
		if !json.Valid(object) || !json.Valid(mutated) {
			return
		}
		patch, err := diff(object, mutated)
		if err != nil {
			if _, expected := errors.AsType[*policy.Error](err); !expected {
				t.Fatal(err)
			}
			return
		}
		if patch == nil {
			patch = []byte("[]")
		}
		if got, want := canonical(t, apply(t, object, patch)), canonical(t, mutated); !bytes.Equal(got, want) {
			t.Errorf("%s makes %s, want %s", patch, got, want)
		}
		// Escapes make a text up to six times as long.
		if most := 6 * (operationsBound(object) + operationsBound(mutated) + len(mutated)); len(patch) > most {
			t.Errorf("the patch has %d bytes, at most %d were foreseen", len(patch), most)
		}
	})
}
