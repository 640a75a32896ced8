package policy_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	. "github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// lazy is a guest that works for some milliseconds when it is asked for the first time, and
// says as a digit how many requests it has seen.
func lazy(more func(g *Guest) []byte) []byte {
	return leaking(func(g *Guest) []byte { return slices.Concat(lazyStart(g), more(g), loadByte(leakZero)) })
}

// lazyStart counts a request and works for some milliseconds when it is the first.
func lazyStart(g *Guest) []byte {
	rounds := g.Global(5_000_000)
	work := slices.Concat(GlobalGet(rounds), I32Const(-1), I32Add, GlobalSet(rounds),
		GlobalGet(rounds), If(Br(1)))
	first := slices.Concat(loadByte(leakZero), I32Const(0), I32Eq, If(Loop(work)))
	return slices.Concat(first, increment(leakZero))
}

func nothingMore(*Guest) []byte { return nil }

// isolate is a module for a policy of the cluster.
func isolate(t *testing.T, module *policy.Module, call policy.Call, isolation policy.Isolation) *policy.Module {
	t.Helper()
	isolated, err := module.Isolate(t.Context(), call, isolation)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { isolated.Close(t.Context()) })
	return isolated
}

// messageOf is the message of a rejection.
func messageOf(t *testing.T, module *policy.Module, call policy.Call, request string) string {
	t.Helper()
	response, err := module.Validate(t.Context(), call, json.RawMessage(request))
	if err != nil || response.Message == nil {
		t.Fatalf("got %+v, %v, want a message", response, err)
	}
	return *response.Message
}

// A policy is warm that works once and for all when it is first asked. Its requests see what
// made-up ones have left, and nothing of each other; no other policy sees any of it.
func TestWarmInstancesAreOnePolicys(t *testing.T) {
	log := &bytes.Buffer{}
	engine := newEngine(t, policy.Config{Logger: slog.New(slog.NewTextHandler(log, nil))})
	module := compile(t, engine, lazy(nothingMore))
	mine := policy.Call{PolicyID: "kw.cap.mine", Settings: json.RawMessage(`{"a":1}`)}
	warm := isolate(t, module, mine, policy.IsolationWarm)
	if got := engine.Stats(); got.Warm != 1 {
		t.Fatalf("%d policies are warm, want 1\n%s", got.Warm, log)
	}
	other := mine
	other.PolicyID = "kw.cap.other"
	changed := mine
	changed.Settings = json.RawMessage(`{"a":2}`)
	tenant := mine
	tenant.Domain = "team"
	seen := messageOf(t, warm, mine, `{}`) // made-up requests, whose number is measured, and this one
	if seen <= "1" {
		t.Errorf("the policy has seen %s requests, want more than its own", seen)
	}
	for range 3 {
		for _, request := range []string{`{}`, `{"more":"` + strings.Repeat("x", 2000) + `"}`} {
			if got := messageOf(t, warm, mine, request); got != seen {
				t.Errorf("the policy has seen %s requests, and %s when it was first asked", got, seen)
			}
		}
		for name, call := range map[string]policy.Call{"another policy": other, "other settings": changed, "a tenant": tenant} {
			if got := messageOf(t, warm, call, `{}`); got != "1" {
				t.Errorf("%s has seen %s requests, want its own alone", name, got)
			}
		}
		if got := messageOf(t, module, mine, `{}`); got != "1" {
			t.Errorf("the module's own instances have seen %s requests, want 1", got)
		}
	}
	stats := engine.Stats()
	if stats.Taken[policy.IsolationWarm] != 7 || stats.Taken[policy.IsolationPristine] != 12 || stats.Taken[policy.IsolationFresh] != 0 {
		t.Errorf("got %v, want 7 warm and 12 pristine", stats.Taken)
	}
	warm.Close(t.Context())
	if got := engine.Stats(); got.Warm != 0 {
		t.Errorf("%d policies are warm after they were closed", got.Warm)
	}
}

// What makes a policy stay as it is, is counted and logged by its reason, and the policy
// answers as ever.
func TestWhoIsNotWarm(t *testing.T) {
	tests := map[string]struct {
		binary    []byte
		reads     bool
		isolation policy.Isolation
		pages     uint32
		now       func() time.Time
		want      policy.NotWarm
	}{
		"nothing to gain":      {binary: lazy(nothingMore), now: func() time.Time { return time.Time{} }, want: policy.NotWarmNoGain},
		"a fresh engine":       {binary: lazy(nothingMore), isolation: policy.IsolationFresh, want: policy.NotWarmFresh},
		"a table that changes": {binary: lazy(settingTable), want: policy.NotWarmFresh},
		"a question":           {binary: lazy(asking), want: policy.NotWarmHostCall},
		"a trap":               {binary: lazy(func(*Guest) []byte { return Unreachable }), want: policy.NotWarmFailed},
		"memory up to its end": {binary: lazy(growing(15)), pages: 16, want: policy.NotWarmFailed},
		"Rego that reads":      {binary: regoReaders(t)["opa"], reads: true, want: policy.NotWarmHostCall},
		"a command":            {binary: commandThatWaits(false), want: policy.NotWarmCommand},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			log := &bytes.Buffer{}
			engine := newEngine(t, policy.Config{
				Isolation: tc.isolation, MemoryLimitPages: tc.pages, Logger: slog.New(slog.NewTextHandler(log, nil)), Now: tc.now,
			})
			module := compile(t, engine, tc.binary)
			call := policy.Call{PolicyID: "kw.cap.mine"}
			if tc.reads {
				call.Capabilities = readingNamespaces(t, "*")
			}
			isolated := isolate(t, module, call, policy.IsolationWarm)
			counted := engine.Stats().NotWarm
			maps.DeleteFunc(counted, func(_ policy.NotWarm, count uint64) bool { return count == 0 })
			if len(counted) != 1 || counted[tc.want] != 1 {
				t.Errorf("got %v, want reason %s once\n%s", counted, tc.want, log)
			}
			if !strings.Contains(log.String(), "policy=kw.cap.mine reason="+string(tc.want)) {
				t.Errorf("the log does not say reason %s:\n%s", tc.want, log)
			}
			for range 2 {
				want, wantErr := module.Validate(t.Context(), call, json.RawMessage(`{}`))
				got, err := isolated.Validate(t.Context(), call, json.RawMessage(`{}`))
				if (err == nil) != (wantErr == nil) || got.Accepted != want.Accepted {
					t.Errorf("got %+v, %v, want %+v, %v", got, err, want, wantErr)
				}
			}
		})
	}
}

func settingTable(g *Guest) []byte {
	g.Table(8, 0)
	return slices.Concat(I32Const(1), I32Const(0), tableGet, tableSet)
}

func asking(g *Guest) []byte { return append(g.CallHost("kubernetes", "can_i", "{}"), Drop...) }

func growing(pages int32) func(*Guest) []byte {
	return func(*Guest) []byte { return slices.Concat(I32Const(pages), MemoryGrow, Drop) }
}

// Memory that a template has no room for leaves the policy with the module's instances.
func TestWarmInstancesNeedRoom(t *testing.T) {
	budget := memory.NewBudget(memory.Plan{Limit: 1 << 30, Modules: 1 << 30, Guests: 1 << 30}, nil)
	engine := newEngine(t, policy.Config{Memory: budget})
	module := compile(t, engine, lazy(nothingMore))
	held := budget.Usage(memory.Modules).Held
	warm := isolate(t, module, policy.Call{}, policy.IsolationWarm)
	if got := budget.Usage(memory.Modules).Held - held; got != warm.Bytes() || got == 0 {
		t.Errorf("%d bytes are counted for modules, want the %d of the policy's instances", got, warm.Bytes())
	}
	warm.Close(t.Context())
	if got := budget.Usage(memory.Modules).Held; got != held {
		t.Errorf("%d bytes are counted after the policy was closed, want %d", got, held)
	}
	rest := memory.Size{Heap: 1<<30 - held}
	if err := budget.Take(memory.Modules, rest); err != nil {
		t.Fatal(err)
	}
	defer budget.Give(memory.Modules, rest)
	isolate(t, module, policy.Call{}, policy.IsolationWarm)
	if got := engine.Stats(); got.NotWarm[policy.NotWarmNoRoom] != 1 || got.Warm != 0 {
		t.Errorf("got %+v", got)
	}
}

// A module that was isolated outlives the module, whatever is closed first.
func TestIsolatedModulesAreClosedByThemselves(t *testing.T) {
	for _, isolation := range []policy.Isolation{policy.IsolationFresh, policy.IsolationWarm} {
		engine := newEngine(t, policy.Config{})
		module := compile(t, engine, lazy(nothingMore))
		isolated := isolate(t, module, policy.Call{}, isolation)
		module.Close(t.Context())
		if got := messageOf(t, isolated, policy.Call{}, `{}`); (got > "1") != (isolation == policy.IsolationWarm) {
			t.Errorf("%s: the policy has seen %s requests", isolation, got)
		}
		if _, err := module.Isolate(t.Context(), policy.Call{}, isolation); err == nil {
			t.Errorf("%s: a closed module was isolated", isolation)
		}
		isolated.Close(t.Context())
		if _, err := isolated.Validate(t.Context(), policy.Call{}, json.RawMessage(`{}`)); err == nil {
			t.Errorf("%s: a closed module has answered", isolation)
		}
	}
}

func TestIsolateRefuses(t *testing.T) {
	module := compile(t, newEngine(t, policy.Config{}), lazy(nothingMore))
	for name, tc := range map[string]struct {
		domain    string
		isolation policy.Isolation
		want      string
	}{
		"what is not known":      {"", "hot", `isolation "hot" in domain "" is not possible, want "fresh", or "warm" in domain ""`},
		"what modules are":       {"", policy.IsolationPristine, `isolation "pristine" in domain "" is not possible, want "fresh", or "warm" in domain ""`},
		"warm ones for a tenant": {"team", policy.IsolationWarm, `isolation "warm" in domain "team" is not possible, want "fresh", or "warm" in domain ""`},
	} {
		_, err := module.Isolate(t.Context(), policy.Call{Domain: tc.domain}, tc.isolation)
		if err == nil || err.Error() != tc.want {
			t.Errorf("%s: got %v, want %s", name, err, tc.want)
		}
	}
}
