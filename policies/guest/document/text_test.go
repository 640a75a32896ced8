package document_test

import (
	"encoding/json"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
)

func TestAppendTexts(t *testing.T) {
	for want, texts := range map[string][]string{`[]`: nil, `["a"]`: {"a"}, `["","\"","ä"]`: {"", `"`, "ä"}} {
		if got := string(document.AppendTexts(nil, texts)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// FuzzText writes texts as strings of JSON, and reads them as encoding/json does.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"", "a", "\"\\/\b\f\n\r\t\x00\x1f\x7f", "ä€😀\u2028", "\xff\xc3", "\ufffd"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		content, want := document.AppendText(nil, text), string([]rune(text))
		var got string
		if err := json.Unmarshal(content, &got); err != nil || got != want {
			t.Errorf("encoding/json: got %q of %s, %v, want %q", got, content, err, want)
		}
		if got, err := document.MustRead(string(content)).Text(); err != nil || got != want {
			t.Errorf("got %q of %s, %v, want %q", got, content, err, want)
		}
	})
}
