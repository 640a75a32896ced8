package node

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestSessionOf(t *testing.T) {
	for stat, want := range map[string]int{
		"42 (etcd) S 1 41 40 0 -1":      40,
		"42 (a) b) (c) R 1 41 40 0 -1":  40,
		"42 (etcd) S 1":                 0,
		"":                              0,
		"42 (etcd) S 1 41 notanumber 0": 0,
	} {
		if got := sessionOf([]byte(stat)); got != want {
			t.Errorf("sessionOf(%q) = %d, want %d", stat, got, want)
		}
	}
}

func newTestLayout(t *testing.T) Layout {
	t.Helper()
	layout := Layout{State: t.TempDir(), Run: t.TempDir(), NodeIP: "127.0.0.1"}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := kill(ctx, layout.marked("")); err != nil {
			t.Error(err)
		}
	})
	return layout
}

func sleeper(t *testing.T, script string) process {
	t.Helper()
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	return process{name: "sleeper", program: shell, args: []string{"-c", script}}
}

func TestProcessIsKnownByItsEnvironment(t *testing.T) {
	layout, other := newTestLayout(t), newTestLayout(t)
	for _, l := range []Layout{layout, other} {
		if err := l.start(sleeper(t, "sleep 60; true")); err != nil {
			t.Fatal(err)
		}
	}
	pid := layout.PID("sleeper")
	if pid == 0 {
		t.Fatal("the process that was started is not found")
	}
	if err := layout.start(sleeper(t, "sleep 60; true")); err != nil {
		t.Fatal(err)
	}
	if again := layout.PID("sleeper"); again != pid {
		t.Errorf("a second start made process %d beside %d", again, pid)
	}
	if err := layout.stop(t.Context(), "sleeper"); err != nil {
		t.Fatal(err)
	}
	if got := layout.PID("sleeper"); got != 0 {
		t.Errorf("process %d is there after stop", got)
	}
	// The shell's child outlives it; it is known all the same.
	if got := layout.marked(""); len(got) != 1 {
		t.Errorf("processes left by the one that was stopped: %v, want one", got)
	}
	if other.PID("sleeper") == 0 {
		t.Error("the process of another node was stopped too")
	}
}

func TestStopInsists(t *testing.T) {
	layout := newTestLayout(t)
	if err := layout.start(sleeper(t, "trap '' TERM; echo deaf; while :; do sleep 1; done")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	err := poll(ctx, func() bool {
		log, err := os.ReadFile(layout.LogFile("sleeper"))
		return err == nil && strings.Contains(string(log), "deaf")
	})
	if err != nil {
		t.Fatal(err)
	}
	impatient, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := layout.stop(impatient, "sleeper"); err != nil {
		t.Fatal(err)
	}
	if got := layout.PID("sleeper"); got != 0 {
		t.Errorf("process %d is there after stop", got)
	}
}

func TestAwaitShowsTheLogOfAProcessThatEnded(t *testing.T) {
	layout := newTestLayout(t)
	if err := layout.start(sleeper(t, "echo no such flag; exit 1")); err != nil {
		t.Fatal(err)
	}
	never := func(context.Context) error { return errors.New("not yet") }
	err := layout.await(t.Context(), "sleeper", 10*time.Second, never)
	if err == nil || !strings.Contains(err.Error(), "no such flag") {
		t.Errorf("await = %v, want the end of the log", err)
	}
}
