package document_test

import (
	"testing"

	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
)

func TestEdits(t *testing.T) {
	const before = ` {"list": [ {"a" : 1.50}, {},{"a":null,"b":"\u0061"} ],"c":{ "x":{}}} `
	whole := read(t, before)
	list, err := whole.List("list")
	if err != nil {
		t.Fatal(err)
	}
	var edits document.Edits
	if edits.Any() {
		t.Error("there are edits before any was made")
	}
	if got := string(edits.Append(nil, whole)); got != before[1:len(before)-1] {
		t.Errorf("without edits: got %s", got)
	}
	inner, err := whole.Get("c")
	if err != nil {
		t.Fatal(err)
	}
	for _, edit := range []struct {
		object document.Value
		json   string
		path   []string
	}{
		{inner, "[]", []string{"y"}}, {list[2], "2", []string{"a"}}, {list[1], `"3"`, []string{"a"}}, {list[1], "4", []string{`q"`}},
		{list[0], "5", []string{"b"}}, {whole, "6", []string{"c", "x", "z"}}, {list[0], "7", []string{"a"}}, {list[0], "8", []string{"c", "d"}},
	} {
		if err := edits.Set(edit.object, edit.json, edit.path...); err != nil || !edits.Any() {
			t.Error(err)
		}
	}
	const want = `{"list": [ {"a" : 7,"b":5,"c":{"d":8}}, {"a":"3","q\"":4},{"a":2,"b":"\u0061"} ],"c":{ "x":{"z":6},"y":[]}}`
	if got := string(edits.Append(nil, whole)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for content, want := range map[string]string{"[]": "got [], want an object", `{"b":1,}`: "got }, want something behind the comma"} {
		if err := edits.Set(read(t, content), "1", "a"); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", content, err, want)
		}
	}
	if err := edits.Set(document.Value{}, "1", "a"); err == nil {
		t.Error("no value was given a member")
	}
}
