package server

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// scanTexts are texts at the edge of what JSON is.
var scanTexts = []string{
	``, ` `, `null`, `true`, `false`, `tru`, `nul`, `{}`, `[]`, `{`, `}`, `[`, `]`, `{]`, `[}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `[1,]`, `[,1]`, `[1 2]`,
	`{"a":1 "b":2}`, `{"a":1,"b":[{"c":[]},{}]}`, ` { "a" : [ 1 , 2 ] } `, `{a:1}`, `{'a':1}`, `{"a":1}x`, `{} {}`, "\xef\xbb\xbf{}",
	`0`, `-0`, `-`, `01`, `1.`, `.1`, `1.5`, `1e5`, `1E+5`, `1e`, `1e+`, `+1`, `1.5e-3`, `12345678901234567890123`, `0x1`, `Infinity`, `NaN`,
	`"a`, `"`, `"\"`, `"\\"`, `"\u0041"`, `"\u00g1"`, `"\u00"`, `"\x41"`, `"\/\b\f\n\r\t"`, "\"\n\"", "\"\x00\"", "\"\x7f\"", `"\ud83d\ude00"`, `"\ud83d"`, "\"\xff\"", `"é€"`,
	`[[[[[[]]]]]]`, `[[[[[[]]]]]`, `{"a":{"b":{"c":null}}}`, `{"":""}`, "[\t1\r\n]", `[1,"a",true,null,{"x":[{}]}]`,
}

func scanAll(text []byte) error {
	scan, err := newScanner(text)
	if err == nil {
		err = scan.skip()
	}
	if err == nil {
		err = scan.end()
	}
	return err
}

func TestScannerAgreesWithTheStandardLibrary(t *testing.T) {
	for _, text := range scanTexts {
		want := json.Valid([]byte(text)) && utf8.ValidString(text)
		if err := scanAll([]byte(text)); (err == nil) != want {
			t.Errorf("%q: got error %v, want valid %t", text, err, want)
		}
	}
}

func FuzzScanner(f *testing.F) {
	for _, text := range scanTexts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		want := json.Valid(text) && utf8.Valid(text)
		err := scanAll(text)
		if err != nil && want && strings.Contains(err.Error(), textTooDeep) {
			return
		}
		if (err == nil) != want {
			t.Errorf("%q: got error %v, want valid %t", text, err, want)
		}
		// Whatever it is, decoding must not panic, and what it passes on must be JSON.
		if request, err := decodeReview(text, ""); err == nil && (!json.Valid(request.Document) || (request.Object != nil && !json.Valid(request.Object))) {
			t.Errorf("%q: got document %q, object %q", text, request.Document, request.Object)
		}
		if request, err := decodeRaw(text, ""); err == nil && !json.Valid(request.Document) {
			t.Errorf("%q: got document %q", text, request.Document)
		}
	})
}

// The limit is upstream's to the level, wherever in a body it is reached.
func TestBodyNesting(t *testing.T) {
	lists := func(count int) string { return strings.Repeat("[", count) + strings.Repeat("]", count) }
	objects := func(count int) string { return strings.Repeat(`{"a":`, count) + "1" + strings.Repeat("}", count) }
	asReview := func(text string) error { _, err := decodeReview([]byte(text), ""); return err }
	asRaw := func(text string) error { _, err := decodeRaw([]byte(text), ""); return err }
	for name, tc := range map[string]struct {
		decode func(text string) error
		body   func(count int) string // with so many levels in all
	}{
		"a raw request of lists":   {asRaw, func(count int) string { return `{"request":` + lists(count-1) + `}` }},
		"a raw request of objects": {asRaw, func(count int) string { return `{"request":` + objects(count-1) + `}` }},
		"a member beside it":       {asRaw, func(count int) string { return `{"request":1,"b":` + lists(count-1) + `}` }},
		"an object in a review":    {asReview, func(count int) string { return review(`"object":{"a":` + lists(count-3) + `}`) }},
		"options in a review":      {asReview, func(count int) string { return review(`"options":` + objects(count-2)) }},
		"members of a review":      {asReview, func(count int) string { return `{"a":` + lists(count-1) + `,` + review()[1:] }},
	} {
		if err := tc.decode(tc.body(127)); err != nil {
			t.Errorf("%s: got %v at 127 levels, want no error", name, err)
		}
		if err := tc.decode(tc.body(128)); err == nil || !isSyntax(err) || !strings.Contains(err.Error(), "recursion limit exceeded at byte") {
			t.Errorf("%s: got %v at 128 levels, want a syntax error", name, err)
		}
	}
}

// However many members an object has, each name counts once.
func TestNamesAreKnownOnce(t *testing.T) {
	var seen names
	for i := range 3 * len(seen.few) {
		if name := strconv.Itoa(i); !seen.add(name) || seen.add(name) {
			t.Fatalf("name %d is not new once", i)
		}
	}
	for i := range 3 * len(seen.few) {
		if seen.add(strconv.Itoa(i)) {
			t.Errorf("name %d is new after all others", i)
		}
	}
}

func BenchmarkDecodeReview(b *testing.B) {
	body := []byte(review(`"object":{"spec":{"containers":[` + strings.Repeat(`{"name":"c","image":"registry.test/image:v1","args":["--flag=value"]},`, 60) + `{}]}}`))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeReview(body, ""); err != nil {
			b.Fatal(err)
		}
	}
}
