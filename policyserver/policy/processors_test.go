package policy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"runtime"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// crossing is an engine with one processor, and policies that stop where a test wants them to.
type crossing struct {
	engine  *policy.Engine
	granted host.Grants
	// running is told of a policy that runs, and waiting of one that waits for the host; each
	// goes on when it is told to.
	running, goOn, waiting, answer chan struct{}
}

// stop stops where it is called until a test says more.
func stop(at, then chan struct{}) {
	at <- struct{}{}
	<-then
}

type stoppingLog struct {
	slog.Handler

	at *crossing
}

func (l stoppingLog) Enabled(context.Context, slog.Level) bool { return true }

func (l stoppingLog) Handle(_ context.Context, record slog.Record) error {
	if record.Message == "policy log" {
		stop(l.at.running, l.at.goOn)
	}
	return nil
}

type stoppingHost struct{ at *crossing }

func (h stoppingHost) Call(context.Context, host.Request) ([]byte, error) {
	stop(h.at.waiting, h.at.answer)
	return []byte(`{}`), nil
}

func newCrossing(t *testing.T) *crossing {
	t.Helper()
	at := &crossing{running: make(chan struct{}), goOn: make(chan struct{}), waiting: make(chan struct{}), answer: make(chan struct{})}
	at.engine = newEngine(t, policy.Config{
		Processors: 1, Logger: slog.New(stoppingLog{slog.DiscardHandler, at}),
		Capabilities: map[string]host.Capability{"kubernetes": stoppingHost{at}},
	})
	var err error
	if at.granted, err = host.NewGrants([]string{"*"}, nil); err != nil {
		t.Fatal(err)
	}
	return at
}

// calling is a policy that calls the host once and accepts.
func (c *crossing) calling(t *testing.T, namespace, operation, payload string) *policy.Module {
	t.Helper()
	g := wasmtest.NewGuest()
	return compile(t, c.engine, g.OnValidate(g.CallHost(namespace, operation, payload), wasmtest.Drop, g.Respond(`{"accepted":true}`)).Bytes())
}

func (c *crossing) ask(ctx context.Context, module *policy.Module) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := module.Validate(ctx, policy.Call{Capabilities: c.granted}, json.RawMessage(`{}`))
		ended <- err
	}()
	return ended
}

// untilWaiting waits until so many calls wait for a processor.
func (c *crossing) untilWaiting(t *testing.T, n int) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for c.engine.Stats().Waiting != n {
		select {
		case <-ticker.C:
		case <-t.Context().Done():
			t.Fatalf("%d calls wait, want %d", c.engine.Stats().Waiting, n)
		}
	}
}

const logLine = `{"level":"info","message":"here"}`

func TestGuestsShareTheProcessors(t *testing.T) {
	at := newCrossing(t)
	logging, accepting := at.calling(t, "tracing", "log", logLine), compile(t, at.engine, wasmtest.Accepting())
	first := at.ask(t.Context(), logging)
	<-at.running

	late, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	checkError(t, <-at.ask(late, accepting), &wantError{policy.KindTimeout, "Policy execution interrupted because it exceeded the allowed execution time"})
	given, giveUp := context.WithCancel(t.Context())
	impatient := at.ask(given, accepting)
	at.untilWaiting(t, 1)
	giveUp()
	checkError(t, <-impatient, &wantError{policy.KindUnavailable, "policy execution was canceled"})

	second := at.ask(t.Context(), logging)
	at.untilWaiting(t, 1)
	select {
	case <-at.running:
		t.Fatal("two run on one processor")
	default:
	}
	at.goOn <- struct{}{}
	checkError(t, <-first, nil)
	<-at.running
	at.goOn <- struct{}{}
	checkError(t, <-second, nil)
	at.untilWaiting(t, 0)
}

func TestGuestThatWaitsForTheHostLeavesItsProcessorToOthers(t *testing.T) {
	at := newCrossing(t)
	logging, calling := at.calling(t, "tracing", "log", logLine), at.calling(t, "kubernetes", "can_i", "{}")
	for name, givenUp := range map[string]bool{"goes on when there is one": false, "is given up before": true} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			first := at.ask(ctx, calling)
			<-at.waiting
			second := at.ask(t.Context(), logging)
			<-at.running
			at.answer <- struct{}{}
			at.untilWaiting(t, 1)
			if !givenUp {
				at.goOn <- struct{}{}
				checkError(t, <-first, nil)
				checkError(t, <-second, nil)
				return
			}
			cancel()
			checkError(t, <-first, &wantError{policy.KindUnavailable, "policy execution was canceled"})
			// It has not given back what it did not get.
			third := at.ask(t.Context(), logging)
			at.untilWaiting(t, 1)
			at.goOn <- struct{}{}
			checkError(t, <-second, nil)
			<-at.running
			at.goOn <- struct{}{}
			checkError(t, <-third, nil)
		})
	}
}

// lockedToThread says whether the goroutine is, by the heading of its stack.
func lockedToThread() bool {
	stack := make([]byte, 200)
	heading, _, _ := bytes.Cut(stack[:runtime.Stack(stack, false)], []byte("\n"))
	return bytes.Contains(heading, []byte("locked to thread"))
}

// where notes at which places a call is locked to its thread.
type where struct {
	slog.Handler

	locked map[string]bool
}

func (w where) Enabled(context.Context, slog.Level) bool { return true }

func (w where) Handle(_ context.Context, record slog.Record) error {
	w.locked[record.Message] = lockedToThread()
	return nil
}

func (w where) Call(context.Context, host.Request) ([]byte, error) {
	w.locked["host"] = lockedToThread()
	return []byte(`{}`), nil
}

// A guest stays on its thread, which nothing else has then, while it runs and not longer.
func TestGuestsStayOnAThreadWhileTheyRun(t *testing.T) {
	granted, err := host.NewGrants([]string{"*"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for isolation, settled := range map[policy.Isolation]bool{policy.IsolationPristine: true, policy.IsolationFresh: false} {
		t.Run(string(isolation), func(t *testing.T) {
			at := where{slog.DiscardHandler, map[string]bool{}}
			engine := newEngine(t, policy.Config{
				Isolation: isolation, Logger: slog.New(at), Capabilities: map[string]host.Capability{"kubernetes": at},
			})
			g := wasmtest.NewGuest()
			module := compile(t, engine, g.OnValidate(
				g.CallHost("tracing", "log", logLine), wasmtest.Drop, g.CallHost("kubernetes", "can_i", "{}"), wasmtest.Drop,
				g.Respond(`{"accepted":true}`)).Bytes())
			for range 2 {
				if _, err := module.Validate(t.Context(), policy.Call{Capabilities: granted}, json.RawMessage(`{}`)); err != nil {
					t.Fatal(err)
				}
				if want := map[string]bool{"policy log": settled, "host": false}; !maps.Equal(at.locked, want) {
					t.Errorf("locked to a thread: got %v, want %v", at.locked, want)
				}
				if lockedToThread() {
					t.Fatal("the call has ended, and its goroutine is locked to a thread")
				}
			}
		})
	}
}
