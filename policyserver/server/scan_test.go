package server

import (
	"encoding/json"
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
		if err != nil && want && strings.Contains(err.Error(), "nested too deeply") {
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

func TestScannerNesting(t *testing.T) {
	if err := scanAll([]byte(strings.Repeat("[", maxNesting) + strings.Repeat("]", maxNesting))); err != nil {
		t.Errorf("got %v, want no error", err)
	}
	err := scanAll([]byte(strings.Repeat("[", maxNesting+2) + strings.Repeat("]", maxNesting+2)))
	if err == nil || !isSyntax(err) {
		t.Errorf("got %v, want a syntax error", err)
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
