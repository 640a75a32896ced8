package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubewarden/kubewarden-operator/test/bench/child"
)

// The floor accepts what a policy server is asked, over HTTP/2 and with the UID of each request.
func TestFloorAnswersAsAsked(t *testing.T) {
	floor := httptest.NewUnstartedServer(http.HandlerFunc(answerFloor))
	floor.EnableHTTP2 = true
	floor.StartTLS()
	defer floor.Close()
	asks := newClient(floor.Listener.Addr().String(), nil)
	defer asks.http.CloseIdleConnections()
	asks.http.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: floor.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	fixtures := (config{policies: 20}).fixtures()
	if err := newFixed(asks, withoutPolicies(fixtures)).warmUp(t.Context()); err != nil {
		t.Error(err)
	}
	if err := newFixed(asks, fixtures).warmUp(t.Context()); err == nil || !strings.Contains(err.Error(), "wrong verdict") {
		t.Errorf("the floor as a policy server: got %v, want a wrong verdict", err)
	}
}

func TestFloorRefuses(t *testing.T) {
	answer := httptest.NewRecorder()
	answerFloor(answer, httptest.NewRequest(http.MethodPost, "/validate/a", strings.NewReader(`{}`)))
	if answer.Code != http.StatusBadRequest {
		t.Errorf("got %d without a uid, want 400", answer.Code)
	}
	if err := serveFloor(t.Context(), []string{"here"}); err == nil || !strings.Contains(err.Error(), "got 1 arguments") {
		t.Errorf("got %v, want an error about the arguments", err)
	}
	listener, err := net.Listen("tcp", child.Loopback+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	taken := listener.Addr().String()
	if err := serveFloor(t.Context(), []string{t.TempDir(), taken, taken}); err == nil || !strings.Contains(err.Error(), "listen as the floor") {
		t.Errorf("got %v, want an error about the address", err)
	}
}

func TestParseProcessorTime(t *testing.T) {
	for name, tc := range map[string]struct {
		stat string
		want time.Duration
		err  string
	}{
		"user and kernel":         {"7 (kubewarden) S 1 7 7 0 -1 4194560 1 2 3 4 120 30 5 6 20 0", 1500 * time.Millisecond, ""},
		"a name with a blank":     {"7 (a) b) R) S 1 7 7 0 -1 4194560 1 2 3 4 1 0 5 6 20 0", 10 * time.Millisecond, ""},
		"a process that is going": {"7 (kubewarden) Z", 0, "1 fields"},
		"no number":               {"7 (kubewarden) S 1 7 7 0 -1 4194560 1 2 3 4 many 30", 0, `parsing "many"`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseProcessorTime(tc.stat)
			if got != tc.want || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("got %s, %v; want %s, %q", got, err, tc.want, tc.err)
			}
		})
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
