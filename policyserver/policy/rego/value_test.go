package rego

import (
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Values come back as they went, numbers to the last digit.
func TestValues(t *testing.T) {
	tests := map[string]struct{ text, want, json string }{
		"null":            {"null", "null", "null"},
		"booleans":        {"[true, false]", "[true,false]", "[true,false]"},
		"numbers":         {"[0,-1.50,12345678901234567890123,1e3]", "[0,-1.50,12345678901234567890123,1e3]", "[0,-1.50,12345678901234567890123,1e3]"},
		"texts":           {`"a\"\u00e4\n<"`, `"a\"ä\n\u003c"`, `"a\"ä\n\u003c"`},
		"nothing in them": {`[[], {}, set(), ""]`, `[[],{},set(),""]`, `[[],{},[],""]`},
		"an object":       {`{"b": 1, "a": {"c": []}}`, `{"a":{"c":[]},"b":1}`, `{"a":{"c":[]},"b":1}`},
		"keys of any type": {
			`{1: 2, ["a"]: 3, "b": 4}`, `{1:2,"b":4,["a"]:3}`, `{"1":2,"b":4,"[\"a\"]":3}`,
		},
		"a set":                 {`{2, 1, "a"}`, `{1,2,"a"}`, `[1,2,"a"]`},
		"a set of one":          {`{{1}}`, `{{1}}`, `[[1]]`},
		"the last key counts":   {`{"a": 1, "a": 2}`, `{"a":2}`, `{"a":2}`},
		"malformed UTF-8":       {"\"a\xff\"", `"a` + "\uFFFD" + `"`, `"a` + "\uFFFD" + `"`},
		"space all around":      {" [ 1 , 2 ] ", "[1,2]", "[1,2]"},
		"half a surrogate pair": {`"\ud800"`, `"` + "\uFFFD" + `"`, `"` + "\uFFFD" + `"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			term, err := parse([]byte(tc.text))
			if err != nil {
				t.Fatal(err)
			}
			for sets, want := range map[bool]string{true: tc.want, false: tc.json} {
				encoder := encoder{limit: 1000, sets: sets}
				if err := encoder.encode(term.Value, 0); err != nil {
					t.Fatal(err)
				}
				if got := string(encoder.out); got != want {
					t.Errorf("sets %v: got %s, want %s", sets, got, want)
				}
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "value ends too early",
		"nul":                              `unexpected 'n' in a value at offset 0`,
		"1 2":                              `unexpected '2' in a value at offset 2`,
		"[1":                               "value ends too early",
		"[1,]":                             `unexpected ']' in a value at offset 3`,
		"{1:2,3}":                          `unexpected '}' in a value at offset 6`,
		"{1,2:3}":                          `unexpected ':' in a value at offset 4`,
		`"a`:                               "string does not end",
		`"\q"`:                             "string is malformed: invalid character 'q' in string escape code",
		"01":                               `number "01" is malformed`,
		"1-2":                              `number "1-2" is malformed`,
		"1e99999":                          `number "1e99999" is too large`,
		strings.Repeat("[", 600):           "value is nested deeper than 512",
		strings.Repeat("{", 600):           "value is nested deeper than 512",
		strings.Repeat(`{"a":`, 600) + "1": "value is nested deeper than 512",
	} {
		if _, err := parse([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%.20s: got %v, want %s", text, err, want)
		}
	}
}

// A value that shares its parts is small to hold and vast to write.
func TestEncodeIsBounded(t *testing.T) {
	value := ast.StringTerm(strings.Repeat("a", 100))
	for range 40 {
		value = ast.ArrayTerm(value, value)
	}
	encoder := encoder{limit: 10_000}
	if err := encoder.encode(value.Value, 0); err == nil || err.Error() != "value has more than 10000 bytes" {
		t.Errorf("got %v, want an error about the size", err)
	}
	for range 600 {
		value = ast.ArrayTerm(value)
	}
	if err := encoder.encode(value.Value, 0); err == nil {
		t.Error("wrote a value that is nested too deep")
	}
}

// Whatever a guest hands over is a value or an error, and a value can be handed back.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{"a":[1,{2,3},set()],"b":{1:null}}`, `"\ud83d\ude00"`, `-1.5e-3`, `[[[]]]`, `{`, "\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		term, err := parse(text)
		if err != nil {
			return
		}
		encoder := encoder{limit: 1 << 20, sets: true}
		if err := encoder.encode(term.Value, 0); err != nil {
			t.Fatalf("encode %s: %v", term, err)
		}
		again, err := parse(encoder.out)
		if err != nil {
			t.Fatalf("parse %s again: %v", encoder.out, err)
		}
		if !again.Equal(term) {
			t.Errorf("got %s, want %s", again, term)
		}
	})
}
