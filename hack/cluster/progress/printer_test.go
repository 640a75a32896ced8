package progress

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestStep(t *testing.T) {
	clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var out strings.Builder
	printer := New(&out, func() time.Time { clock = clock.Add(1500 * time.Millisecond); return clock })
	if err := printer.Step("build it", func() error { return nil }); err != nil {
		t.Errorf("Step = %v", err)
	}
	broken := errors.New("no such file")
	if err := printer.Step("run it", func() error { return broken }); !errors.Is(err, broken) || err.Error() != "run it: no such file" {
		t.Errorf("Step = %v, want the error with the step's title", err)
	}
	want := "  -> build it\n  ok build it: 1.5s\n  -> run it\n  !! run it: failed after 1.5s\n"
	if got := out.String(); got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}
