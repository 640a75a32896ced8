package resource_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/kubewarden/kubewarden-operator/controllers/resource"
)

func TestNote(t *testing.T) {
	tests := map[string]struct {
		message string
		want    int
	}{
		"short":                                {"a", 1},
		"as long as it may be":                 {strings.Repeat("a", 1024), 1024},
		"too long":                             {strings.Repeat("a", 1025), 1024},
		"not cut within a character":           {strings.Repeat("ä", 600), 1023},
		"not cut within a character of 4 byte": {strings.Repeat("🦅", 300), 1023},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := resource.Note(tc.message)
			if len(got) != tc.want || !utf8.ValidString(got) {
				t.Errorf("got %d bytes (valid: %t), want %d", len(got), utf8.ValidString(got), tc.want)
			}
		})
	}
}
