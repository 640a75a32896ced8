package contract

import (
	"strings"
	"testing"
)

func TestParseDigest(t *testing.T) {
	hexadecimal := strings.Repeat("0123456789abcdef", 4)
	for text, want := range map[string]string{
		hexadecimal:                    "sha256:" + hexadecimal,
		"sha256:" + hexadecimal:        "sha256:" + hexadecimal,
		"":                             "",
		"sha256:":                      "",
		hexadecimal[1:]:                "",
		hexadecimal + "0":              "",
		"sha512:" + hexadecimal:        "",
		strings.ToUpper(hexadecimal):   "",
		hexadecimal + "\n":             "",
		"sha256:sha256:" + hexadecimal: "",
		strings.Repeat("g", 64):        "",
		strings.Repeat("long and no digest ", 999): "",
	} {
		got, err := ParseDigest(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("ParseDigest(%.80q): got %q, %v; want %q", text, got, err, want)
		}
		if err != nil && (len(err.Error()) > 500 || !strings.Contains(err.Error(), "64 hex digits")) {
			t.Errorf("ParseDigest(%.80q): got error %q, want a short one that says what is allowed", text, err)
		}
	}
}

func TestSettingsAnswerIsBounded(t *testing.T) {
	got := NewSettingsAnswer(false, strings.Repeat("ü", MaxSettingsMessageBytes))
	if len(got.Message) > MaxSettingsMessageBytes || !strings.HasSuffix(got.Message, "ü...") {
		t.Errorf("got a message of %d bytes that ends in %q", len(got.Message), got.Message[len(got.Message)-8:])
	}
	if got := NewSettingsAnswer(true, "short"); got.Message != "short" || !got.Valid {
		t.Errorf("got %+v, want it as it was given", got)
	}
}
