package resource_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kubewarden/kubewarden-operator/controllers/resource"
)

func TestText(t *testing.T) {
	tests := map[string]struct {
		err  error
		want string
	}{
		"plain":    {errors.New("a"), "a"},
		"joined":   {errors.Join(errors.New("a"), errors.New("b")), "a; b"},
		"terminal": {reconcile.TerminalError(errors.New("a")), "a"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := resource.Text(tc.err); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

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
