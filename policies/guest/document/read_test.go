package document_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
)

func TestReadWantsOneWholeValue(t *testing.T) {
	const ends = "unexpected end of JSON input"
	for content, wantErr := range map[string]string{
		``: ends, " \n": ends, `{`: ends, `[{}`: ends, `"a`: ends, `"a\"`: ends, `{"a":"}`: ends, `"a\`: ends, `{"a":\"b"}`: ends,
		`}`:                               "got }, want something that opened before",
		`{"a":[1]}]`:                      "got ], want something that opened before",
		`[1]]` + strings.Repeat(" ", 100): "got ]" + strings.Repeat(" ", 39) + "..., want something that opened before",
		`{]`:                              "got {], want a value, which ends as it begins",
		`[}`:                              "got [}, want a value, which ends as it begins",
		`1 2`:                             "got 2, want the end",
		`{} []`:                           "got [], want the end",
		`"a""`:                            ends,
		`,`:                               "got ,, want a value, which ends as it begins",
		`{}`:                              "", `[]`: "", ` "" `: "", `1`: "", "\t{\r\n}": "", `"\\"`: "", `"\"{["`: "", `"ä{"`: "",
	} {
		value, err := document.Read([]byte(content))
		gotErr := ""
		if err != nil {
			gotErr = err.Error()
		}
		if gotErr != wantErr {
			t.Errorf("%s: got error %q, want %q", content, gotErr, wantErr)
		}
		if want := strings.TrimSpace(content); wantErr == "" && value.JSON() != want {
			t.Errorf("%s: got %s, want %s", content, value.JSON(), want)
		}
	}
}

// Brackets lie wherever a look at eight bytes begins and ends, in strings and outside, with
// escapes and without, before characters of several bytes and behind them.
func TestReadFindsBracketsAtEveryOffset(t *testing.T) {
	for _, text := range []string{`}]{["`, `\"}]`, `\\`, `\\\"]`, `ä}`, `]ä`, "\\u00e4{", `Yy_`, `\"\"\"\"\"\"\"\"\"{`, "\xdc", "\xdc}"} {
		text = strings.ReplaceAll(text, `["`, `[\"`)
		for before := range 20 {
			for behind := range 20 {
				filled := strings.Repeat("x", before) + text + strings.Repeat("y", behind)
				content := fmt.Sprintf(`{"a":[{"%s":{}},"%s",["%s"]],"b":%s1%s}`, filled, filled, filled, strings.Repeat(" ", before), strings.Repeat(" ", behind))
				value := read(t, content)
				members, err := value.Members("b", "a")
				if err != nil || members[0].JSON() != "1" {
					t.Fatalf("%s: got %q, %v, want 1", content, members[0].JSON(), err)
				}
				list, err := members[1].List()
				if err != nil || len(list) != 3 || list[2].JSON() != `["`+filled+`"]` {
					t.Fatalf("%s: got %v, %v", content, list, err)
				}
			}
		}
	}
}

func TestRoomIsForOneDocumentAfterTheOther(t *testing.T) {
	room := document.NewRoom(1)
	for _, brackets := range []int{0, 1, 100, 3, 5000, 1} {
		content := strings.Repeat("[", brackets) + `{"a":[1]}` + strings.Repeat("]", brackets)
		value, err := room.Read([]byte(content))
		for range brackets {
			list, listErr := value.List()
			if err != nil || listErr != nil || len(list) != 1 {
				t.Fatalf("%d brackets: got %v, %v, %v", brackets, list, err, listErr)
			}
			value = list[0]
		}
		if a, err := value.Get("a"); err != nil || a.JSON() != "[1]" {
			t.Errorf("%d brackets: got %s, %v, want [1]", brackets, a.JSON(), err)
		}
	}
}

func TestMustReadPanics(t *testing.T) {
	defer func() {
		if got := recover(); got != "read document {: unexpected end of JSON input" {
			t.Errorf("got %v", got)
		}
	}()
	document.MustRead("{")
}

func read(t testing.TB, content string) document.Value {
	t.Helper()
	value, err := document.Read([]byte(content))
	if err != nil {
		t.Fatalf("%s: %v", content, err)
	}
	return value
}
