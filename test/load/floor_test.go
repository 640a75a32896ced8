package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubewarden/kubewarden-operator/test/bench/floor"
)

// The floor accepts what a policy server is asked, over HTTP/2 and with the UID of each request.
func TestFloorAnswersAsAsked(t *testing.T) {
	at, err := newServer(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	go func() {
		at.endedBy = floor.Serve(ctx, []string{at.dir, at.api, at.readiness})
		close(at.ended)
	}()
	asks := floor.NewClient(at.api, at.roots)
	t.Cleanup(func() {
		asks.Close()
		stop()
		if <-at.ended; at.endedBy != nil {
			t.Error(at.endedBy)
		}
	})
	if err := at.waitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	fixtures := (config{policies: 20}).fixtures()
	if err := newFixed(asks, withoutPolicies(fixtures)).warmUp(t.Context()); err != nil {
		t.Error(err)
	}
	if err := newFixed(asks, fixtures).warmUp(t.Context()); err == nil || !strings.Contains(err.Error(), "wrong verdict") {
		t.Errorf("the floor as a policy server: got %v, want a wrong verdict", err)
	}
}

func TestMedian(t *testing.T) {
	for want, of := range map[time.Duration][]time.Duration{3: {9, 1, 3}, 2: {4, 1, 3, 2}, 7: {7}} {
		if got := median(of); got != want {
			t.Errorf("of %v: got %d, want %d", of, got, want)
		}
	}
}

// Turns of one side add up: their time, their answers, and latencies in order.
func TestTurnsAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := newPhase()
		for range 2 {
			all.follow(loop{new(slow), 2, 5 * time.Second}.closed(t.Context()))
		}
		if all.took != 10*time.Second || len(all.latencies) != 16 || all.errors != 4 || all.rate() != 1.6 {
			t.Errorf("took %s, %d right answers, %d errors, %g/s; want 10s, 16, 4, 1.6/s", all.took, len(all.latencies), all.errors, all.rate())
		}
	})
}

func TestSidesTakeTurns(t *testing.T) {
	this := &server{command: thisProcess(t)}
	a, b := &side{prefix: "a", at: this, full: stretch{phase: newPhase()}}, &side{prefix: "b", at: this, full: stretch{phase: newPhase()}}
	var order []string
	take := func(ctx context.Context, duration time.Duration) error {
		return turns{[]*side{a, b}, duration}.take(ctx, func(of *side) *stretch { return &of.full },
			func(of *side, duration time.Duration) *phase {
				order = append(order, fmt.Sprint(of.prefix, duration))
				return &phase{took: duration, latencies: []time.Duration{3, 1}}
			})
	}
	if err := take(t.Context(), 2500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(order), "[a1s b1s a1s b1s a500ms b500ms]"; got != want {
		t.Errorf("got turns %s, want %s", got, want)
	}
	if got := fmt.Sprint(a.full.took, a.full.latencies); got != "2.5s [1ns 1ns 1ns 3ns 3ns 3ns]" {
		t.Errorf("a side has %s", got)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := take(ended, time.Second); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v after an interrupt", err)
	}
}

// thisProcess stands for a server of which the processor's time is read.
func thisProcess(t *testing.T) *exec.Cmd {
	t.Helper()
	process, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	return &exec.Cmd{Process: process}
}
