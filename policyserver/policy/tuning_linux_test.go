package policy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	. "github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// A policy is warm after as many made-up requests as the configuration says, whatever that
// gains, each with the policy's own settings.
func TestWarmUpIsWhatIsConfigured(t *testing.T) {
	for _, requests := range []int{1, 3, 6} {
		engine := newEngine(t, policy.Config{WarmUp: requests, Now: func() time.Time { return time.Time{} }})
		// Traps unless the payload holds more than any made-up request.
		module := compile(t, engine, leaking(func(*Guest) []byte {
			return slices.Concat(LocalGet(1), I32Const(9_000), I32LtU, If(Unreachable), I32Const(1))
		}))
		call := policy.Call{Settings: json.RawMessage(`{"a":"` + strings.Repeat("x", 9_000) + `"}`)}
		warm := isolate(t, module, call, policy.IsolationWarm)
		for range 2 {
			if got, want := messageOf(t, warm, call, `{}`), string(rune('1'+requests)); got != want {
				t.Errorf("the policy has seen %q, want %q", got, want)
			}
		}
		if got := engine.Stats(); got.Warm != 1 {
			t.Errorf("got %v, want the policy warm", got.NotWarm)
		}
	}
}

// What a guest says while it is made warm is no policy's, and questions about settings, which
// may be others, do not see what made-up requests left.
func TestMadeUpRequestsLeaveNoOtherTrace(t *testing.T) {
	log := &bytes.Buffer{}
	engine := newEngine(t, policy.Config{WarmUp: 2, Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	g := NewGuest()
	g.OnInit("_initialize", g.Text("I begin"), Call(ConsoleLog))
	g.OnValidate(g.Text("I am asked"), Call(ConsoleLog), increment(leakZero), g.Respond(`{"accepted":true}`))
	g.OnValidateSettings(loadByte(leakZero), If(Unreachable), g.Respond(`{"valid":true}`))
	module := compile(t, engine, g.Bytes())
	log.Reset()
	warm := isolate(t, module, policy.Call{}, policy.IsolationWarm)
	if got := log.String(); strings.Contains(got, "I begin") || strings.Contains(got, "I am asked") || engine.Stats().Warm != 1 {
		t.Errorf("want the policy warm and nothing that it said in the log:\n%s", got)
	}
	for range 2 {
		got, err := warm.ValidateSettings(t.Context(), policy.Call{Settings: json.RawMessage(`{"other":1}`)})
		if err != nil || !got.Valid {
			t.Errorf("got %+v, %v, want the settings valid", got, err)
		}
		if _, err := warm.Validate(t.Context(), policy.Call{}, json.RawMessage(`{}`)); err != nil {
			t.Error(err)
		}
	}
	if got := strings.Count(log.String(), "I am asked"); got != 2 {
		t.Errorf("the log has %d of 2 requests:\n%s", got, log)
	}
}

// No further number of made-up requests is tried when that has taken long.
func TestTuningEnds(t *testing.T) {
	looks := 0
	now := time.Unix(1_750_000_000, 0)
	engine := newEngine(t, policy.Config{Now: func() time.Time {
		looks++
		now = now.Add(200 * time.Millisecond)
		return now
	}})
	module := compile(t, engine, NewGuest().Bytes())
	looks = 0
	isolate(t, module, policy.Call{}, policy.IsolationWarm)
	// A request is timed by two looks at the clock, and its guest's fuel costs some more. Ten
	// requests are timed without made-up ones, and ten once more at the end.
	if most := 20 * 5; looks > most {
		t.Errorf("the clock was read %d times, want at most %d: more than a second is past after the first ten requests", looks, most)
	}
	if got := engine.Stats(); got.NotWarm[policy.NotWarmNoGain] != 1 {
		t.Errorf("got %v, want reason %s", got.NotWarm, policy.NotWarmNoGain)
	}
}

// A guest without end keeps nobody waiting longer than a load may take.
func TestTuningHasADeadline(t *testing.T) {
	engine := newEngine(t, policy.Config{LoadTimeout: 50 * time.Millisecond})
	module := compile(t, engine, Looping())
	isolate(t, module, policy.Call{}, policy.IsolationWarm)
	if got := engine.Stats(); got.NotWarm[policy.NotWarmFailed] != 1 {
		t.Errorf("got %v, want reason %s", got.NotWarm, policy.NotWarmFailed)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := module.Isolate(ctx, policy.Call{}, policy.IsolationWarm)
	checkError(t, err, &wantError{policy.KindUnavailable, "warm instances of policy"})
	if got := engine.Stats(); got.NotWarm[policy.NotWarmFailed] != 1 || got.Warm != 0 {
		t.Errorf("got %d warm and %v, want that nobody waited counted as nothing", got.Warm, got.NotWarm)
	}
}

// A guest that was refused memory over made-up requests is not kept as it is then: it might
// have done something else with it.
func TestTuningNeedsTheGuestsMemory(t *testing.T) {
	const page = 64 << 10
	// As large as the guest when it begins, and some; not as large as it wants to be.
	budget := memory.NewBudget(memory.Plan{Limit: 1 << 30, Modules: 1 << 30, Guests: 4 * page}, nil)
	grown := slices.Concat(I32Const(200), MemoryGrow)
	for name, then := range map[string][]byte{
		"goes on without": Drop,
		"gives up":        slices.Concat(I32Const(-1), I32Eq, If(Unreachable)),
	} {
		engine := newEngine(t, policy.Config{Memory: budget, WarmUp: 1})
		module := compile(t, engine, lazy(func(*Guest) []byte { // only when it is asked for the first time
			return slices.Concat(loadByte(leakZero), I32Const(1), I32Eq, If(grown, then))
		}))
		isolate(t, module, policy.Call{}, policy.IsolationWarm)
		if got := engine.Stats(); got.NotWarm[policy.NotWarmNoRoom] != 1 || got.Warm != 0 {
			t.Errorf("a guest that %s: got %d warm and %v, want reason %s", name, got.Warm, got.NotWarm, policy.NotWarmNoRoom)
		}
	}
}

// However a module was isolated, and whether or not it could be, all memory is given back when
// all is closed.
func TestIsolatedModulesGiveTheirMemoryBack(t *testing.T) {
	budget := memory.NewBudget(memory.Plan{Limit: 1 << 30, Modules: 1 << 30, Guests: 1 << 30}, nil)
	engine := newEngine(t, policy.Config{Memory: budget, WarmUp: 1})
	for _, isolation := range []policy.Isolation{policy.IsolationFresh, policy.IsolationWarm, "hot"} {
		module := compile(t, engine, lazy(nothingMore))
		if isolated, err := module.Isolate(t.Context(), policy.Call{}, isolation); err == nil {
			messageOf(t, isolated, policy.Call{}, `{}`)
			defer isolated.Close(t.Context())
			if held := budget.Usage(memory.Modules).Held; held < module.Bytes() {
				t.Errorf("%s: %d bytes are counted, want the module's %d and more", isolation, held, module.Bytes())
			}
			isolated.Close(t.Context())
		}
		module.Close(t.Context())
		if held := budget.Usage(memory.Modules).Held; held != 0 {
			t.Errorf("%s: %d bytes are counted for modules after all were closed", isolation, held)
		}
		if held := budget.Usage(memory.Guests).Held; held != 0 {
			t.Errorf("%s: %d bytes are counted for guests after all were closed", isolation, held)
		}
	}
}
