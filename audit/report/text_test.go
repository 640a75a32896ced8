package report

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTextOfPoliciesIsForeign(t *testing.T) {
	cases := map[string]struct{ text, want string }{
		"plain":                          {text: "label owner is missing: <b>, \"ü\" 👩‍👩‍👧", want: "label owner is missing: <b>, \"ü\" 👩‍👩‍👧"},
		"nothing":                        {},
		"lines become one":               {text: "first\r\n\tsecond\u2028third\n", want: "first second third"},
		"colours":                        {text: "\x1b[1;31mred\x1b[0m alert", want: "red alert"},
		"colours in one character":       {text: "\u009b31mred", want: "red"},
		"the title of a terminal":        {text: "a\x1b]0;owned\x07b\x1b]8;;https://example.com\x1b\\c", want: "abc"},
		"a title that never ends":        {text: "a\x1b]0;owned", want: "a]0;owned"},
		"other escapes":                  {text: "a\x1bcb", want: "acb"},
		"bells, backspaces and deletion": {text: "a\x00b\x07c\x08d\x7fe\u0085f", want: "abcde f"},
		"text that is turned around":     {text: "a\u202egnp.exe\u202c \u2066b\u2069\u200f\u061c", want: "agnp.exe b"},
		"byte order marks":               {text: "\ufeffa", want: "a"},
		"bytes that are no characters":   {text: "bad \xff\xfe byte", want: "bad \uFFFD byte"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := clean(tc.text); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if got := clean(clean(tc.text)); got != tc.want {
				t.Errorf("cleaned twice it is %q, want %q", got, tc.want)
			}
		})
	}
}

func TestEveryTextOfAPolicyIsCleanedAndBounded(t *testing.T) {
	policy := privileged()
	policy.Category = "\x1b[31m" + strings.Repeat("é", maxCategory)
	r := Report{Scope: pod(), Results: []Result{{Policy: policy, Outcome: OutcomeFail, Message: "\x1b[31m" + strings.Repeat("é", maxMessage), Time: asked}}}
	written := r.content().Results[0]
	for name, tc := range map[string]struct {
		got string
		max int
	}{
		"category": {got: written.Category, max: maxCategory},
		"message":  {got: written.Message, max: maxMessage},
	} {
		if len(tc.got) > tc.max || !strings.HasPrefix(tc.got, "éé") || !strings.HasSuffix(tc.got, "é [...]") {
			t.Errorf("%s has %d bytes, at most %d are allowed: %q", name, len(tc.got), tc.max, tc.got)
		}
	}
}

func TestLongTextIsCutAtACharacter(t *testing.T) {
	short := strings.Repeat("x", maxMessage)
	if got := shorten(short, maxMessage); got != short {
		t.Errorf("a message of %d bytes was changed", len(short))
	}
	for name, character := range map[string]string{"two bytes": "ü", "three bytes": "€", "four bytes": "👍"} {
		got := shorten(strings.Repeat(character, maxMessage), maxMessage)
		if len(got) > maxMessage || !utf8.ValidString(got) || !strings.HasSuffix(got, character+" [...]") {
			t.Errorf("%s: shortened to %d bytes, valid: %v, end: %q", name, len(got), utf8.ValidString(got), got[len(got)-10:])
		}
		if again := shorten(got, maxMessage); again != got {
			t.Errorf("%s: shortened again it is another text", name)
		}
	}
}

func TestOfFarTooLongTextTheBeginningIsTold(t *testing.T) {
	coloured := strings.Repeat("\x1b[1m", 8*maxMessage)
	cases := map[string]struct{ text, want string }{
		"nothing but colours":    {text: coloured, want: " [...]"},
		"a word before colours":  {text: "red" + coloured, want: "red [...]"},
		"too short to be cut":    {text: "red" + coloured[:4*maxMessage], want: "red"},
		"a word behind so much":  {text: strings.Repeat("\x1b[1m", 2*maxMessage) + "red", want: " [...]"},
		"a thousand and some":    {text: strings.Repeat("x", 1020) + coloured, want: strings.Repeat("x", 1018) + " [...]"},
		"more than can be shown": {text: strings.Repeat("é", 1<<20), want: strings.Repeat("é", 509) + " [...]"},
	}
	for name, tc := range cases {
		if got := tell(tc.text, maxMessage); got != tc.want {
			t.Errorf("%s: got %.40q of %d bytes, want %.40q of %d", name, got, len(got), tc.want, len(tc.want))
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, seed := range []string{"plain", "\x1b[31mred", "a\x1b\x1b[1m[2mb", "\x1b]0;t\x07", "\xff\x1b\xff[m", "\u202e\n\t", "\x1b[\n1m"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := clean(text)
		if !utf8.ValidString(got) {
			t.Fatalf("%q is not UTF-8", got)
		}
		for _, r := range got {
			if isForbidden(r) || isBreak(r) {
				t.Fatalf("%q has %U", got, r)
			}
		}
		if again := clean(got); again != got {
			t.Fatalf("cleaned again %q is %q", got, again)
		}
	})
}
