package document_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
)

// asked is what reading a value gives, as text.
func asked(value document.Value, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	return value.JSON()
}

func TestGet(t *testing.T) {
	const object = ` {"a":{"b":{"c": [1, 2] }},"n":null,"t":"x","twice":1,"twice":2,"\u0069mage" : "i"}`
	value := read(t, object)
	for name, tc := range map[string]struct {
		path []string
		want string
	}{
		"deep":                  {[]string{"a", "b", "c"}, "[1, 2]"},
		"not there":             {[]string{"a", "x", "c"}, ""},
		"null":                  {[]string{"n"}, ""},
		"null on the way":       {[]string{"n", "x"}, ""},
		"text on the way":       {[]string{"t", "x"}, `error: t: got "x", want an object`},
		"a list on the way":     {[]string{"a", "b", "c", "d"}, "error: a: b: c: got [1, 2], want an object"},
		"the first of two":      {[]string{"twice"}, "1"},
		"a name with an escape": {[]string{"image"}, `"i"`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := asked(value.Get(tc.path...)); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
	if got := asked(document.Value{}.Get("a")); got != "error: got nothing, want an object" {
		t.Errorf("of no value: got %s", got)
	}
}

func TestMembers(t *testing.T) {
	for object, want := range map[string][]string{
		`{"a":1,"b":{"a":2},"c":[{}]}`: {"1", "[{}]", ""},
		`{"c":null,"a":1,"c":2}`:       {"1", "", ""},
		`{}`:                           {"", "", ""},
		"{ \"a\"\t:\n\"}\"\r,\"x\":[[[]]],\"d\":1}": {`"}"`, "", "1"},
	} {
		values, err := read(t, object).Members("a", "c", "d")
		var got []string
		for _, value := range values {
			got = append(got, value.JSON())
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v, -want +got\n%s", object, err, diff)
		}
	}
}

func TestMembersWithoutAName(t *testing.T) {
	values, err := read(t, `{"b":1,"":2,"a":3}`).Members("a", "")
	if err != nil || values[0].JSON() != "3" || values[1].JSON() != "2" {
		t.Errorf("got %v, %v", values, err)
	}
}

// What is no JSON is found out by whoever looks at it, and by nobody else.
func TestMembersOfWhatIsNoJSON(t *testing.T) {
	for object, want := range map[string]string{
		`[]`:             "got [], want an object",
		`{"a"}`:          "got }, want a colon",
		`{"a" 1}`:        "got 1}, want a colon",
		`{"a":}`:         "got }, want a value, which ends as it begins",
		`{"a":,"b":1}`:   `got ,"b":1}, want a value, which ends as it begins`,
		`{"a":1 "b":1}`:  `got "b":1}, want a comma`,
		`{"a":1,}`:       "got }, want something behind the comma",
		`{,"a":1}`:       `got ,"a":1}, want a name`,
		`{"a":1,,"b":2}`: `got ,"b":2}, want a name`,
		`{a:1}`:          "got a:1}, want a name",
		`{[1]:2}`:        "got [1]:2}, want a name",
		`{"a":[1}}`:      `got [1}}, want a value, which ends as it begins`,
		`{"a":1[2]}`:     "got [2]}, want a comma",
	} {
		if _, err := read(t, object).Members("z"); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", object, err, want)
		}
	}
	values, err := read(t, `{"a":1,"b":{"c"},"d" 2}`).Members("a", "b")
	if err != nil || values[1].JSON() != `{"c"}` {
		t.Errorf("got %v, %v, want what stands before the mistake", values, err)
	}
}

func TestEntries(t *testing.T) {
	entries, err := read(t, `{"\u00e4":[1],"b":null,"b":"c"}`).Entries()
	var got []string
	for _, entry := range entries {
		got = append(got, entry.Name+"="+entry.Value.JSON())
	}
	if diff := cmp.Diff([]string{"ä=[1]", "b=", `b="c"`}, got); err != nil || diff != "" {
		t.Errorf("%v, -want +got\n%s", err, diff)
	}
	if entries, err := (document.Value{}).Entries(); err != nil || entries != nil {
		t.Errorf("of no value: got %v, %v", entries, err)
	}
	for object, want := range map[string]string{`[]`: "got [], want an object", `{"\x":1}`: `got "\x", want a string with escapes of JSON`, `{"a":1,}`: "got }, want something behind the comma"} {
		if entries, err := read(t, object).Entries(); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, %v, want %s", object, entries, err, want)
		}
	}
}

func TestText(t *testing.T) {
	for content, want := range map[string]string{
		`"a b"`: "a b", `""`: "", `"\"\\\/\b\f\n\r\t"`: "\"\\/\b\f\n\r\t", `"\u00e4\u20AC"`: "ä€", `"a\ud83d\ude00b"`: "a😀b",
		`"\ud83d"`: "\ufffd", `"\ud83dx"`: "\ufffdx", `"\ud83d\u0041"`: "\ufffdA", `"\ude00\ud83d\ude00"`: "\ufffd😀", "\"\xff\"": "\xff",
	} {
		if got, err := read(t, content).Text(); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", content, got, err, want)
		}
	}
	if got, err := (document.Value{}).Text(); err != nil || got != "" {
		t.Errorf("of no value: got %q, %v", got, err)
	}
	for content, want := range map[string]string{
		`1`: "got 1, want a string", `{}`: "got {}, want a string",
		`"\x"`: `got "\x", want a string with escapes of JSON`, `"\u12"`: `got "\u12", want a string with escapes of JSON`,
		`"\u12g4"`: `got "\u12g4", want a string with escapes of JSON`, `"\u+123"`: `got "\u+123", want a string with escapes of JSON`,
	} {
		if got, err := read(t, content).Text(); err == nil || err.Error() != want {
			t.Errorf("%s: got %q, %v, want %s", content, got, err, want)
		}
	}
}

func TestBool(t *testing.T) {
	for content, want := range map[string]bool{"true": true, "false": false} {
		if got, err := read(t, content).Bool(); err != nil || got != want {
			t.Errorf("%s: got %v, %v", content, got, err)
		}
	}
	if got, err := (document.Value{}).Bool(); err != nil || got {
		t.Errorf("of no value: got %v, %v", got, err)
	}
	for _, content := range []string{`"true"`, "1", "tru", "nul", "True"} {
		want := "got " + content + ", want true or false"
		if got, err := read(t, content).Bool(); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, %v, want %s", content, got, err, want)
		}
	}
}

func TestLists(t *testing.T) {
	list, err := read(t, ` [ 1,{"a":[2]} ,null,"x"]`).List()
	var got []string
	for _, element := range list {
		got = append(got, element.JSON())
	}
	if diff := cmp.Diff([]string{"1", `{"a":[2]}`, "null", `"x"`}, got); err != nil || diff != "" {
		t.Errorf("%v, -want +got\n%s", err, diff)
	}
	texts, err := read(t, `["a","\u0062","c","d","e","f"]`).Texts()
	if diff := cmp.Diff([]string{"a", "b", "c", "d", "e", "f"}, texts); err != nil || diff != "" {
		t.Errorf("%v, -want +got\n%s", err, diff)
	}
	for _, value := range []document.Value{{}, read(t, "[]")} {
		if texts, err := value.Texts(); err != nil || len(texts) > 0 {
			t.Errorf("%s: got %v, %v, want nothing", value.JSON(), texts, err)
		}
	}
	for content, want := range map[string]string{
		`{}`: "got {}, want a list", `["a",1]`: "[1]: got 1, want a string", `["a" "b"]`: `got "b"], want a comma`,
		`["a",]`: "got ], want something behind the comma", `[,]`: "got ,], want a value, which ends as it begins", `["a":1]`: "got :1], want a comma", `[null]`: "[0]: got null, want a string",
	} {
		if texts, err := read(t, content).Texts(); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, %v, want %s", content, texts, err, want)
		}
	}
}

func TestTextMap(t *testing.T) {
	for content, want := range map[string]map[string]string{
		`{}`: {}, `{"a":"b","a":"c","\u0064":"\u0065","f":null}`: {"a": "b", "d": "e", "f": ""},
	} {
		got, err := read(t, content).TextMap()
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v, -want +got\n%s", content, err, diff)
		}
	}
	if got, err := (document.Value{}).TextMap(); err != nil || got != nil {
		t.Errorf("of no value: got %v, %v", got, err)
	}
	for content, want := range map[string]string{`[]`: "got [], want an object", `{"a":1}`: "a: got 1, want a string", `{"a":"b",}`: "got }, want something behind the comma"} {
		if got, err := read(t, content).TextMap(); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, %v, want %s", content, got, err, want)
		}
	}
}

func TestErrorsSayWhere(t *testing.T) {
	err := document.In(document.At(document.In(document.At(read(t, "1").Wrong("a string"), 0), "args"), 1), "spec", "containers")
	if want := "spec: containers[1]: args[0]: got 1, want a string"; err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
