package policy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	. "github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// isolations are all there are.
var isolations = []policy.Isolation{policy.IsolationFresh, policy.IsolationPristine}

// Addresses of leaking guests: the digit in their answer, and a byte that is zero at first.
const (
	leakAnswer = 20_000
	leakDigit  = leakAnswer + int32(len(`{"accepted":false,"message":"`))
	leakZero   = 50_000
	leakGrown  = 65_536 + 100
)

// leaking is a guest whose answer shows a digit that its code pushes on the stack.
func leaking(code func(g *Guest) []byte) []byte {
	g := NewGuest()
	const answer = `{"accepted":false,"message":"0"}`
	g.Data(leakAnswer, []byte(answer))
	shown := code(g)
	return g.OnValidate(
		I32Const(leakDigit), I32Const(leakDigit), I32Load8, shown, I32Add, I32Store8,
		I32Const(leakAnswer), I32Const(int32(len(answer))), Call(GuestResponse), I32Const(1)).Bytes()
}

// increment is code that adds 1 to the byte at an address.
func increment(address int32) []byte {
	return slices.Concat(I32Const(address), I32Const(address), I32Load8, I32Const(1), I32Add, I32Store8)
}

// leakingAndThen is a leaking guest that runs code when it was asked a lot.
func leakingAndThen(code ...[]byte) []byte {
	return leaking(func(*Guest) []byte {
		// 1,000 is less than the length of the payload.
		large := slices.Concat(I32Const(1000), LocalGet(1), I32LtU, If(code...))
		return slices.Concat(increment(leakZero), large, loadByte(leakZero))
	})
}

// What a call leaves in an instance, wherever that is, and however the call ends, no later
// call sees.
func TestNothingIsLeftOfACall(t *testing.T) {
	tests := map[string]struct {
		binary []byte
		digit  string // of every answer
	}{
		"data":          {leaking(func(*Guest) []byte { return I32Const(1) }), "1"},
		"what was zero": {leaking(func(*Guest) []byte { return append(increment(leakZero), loadByte(leakZero)...) }), "1"},
		"global": {leaking(func(g *Guest) []byte {
			global := g.Global(3)
			return slices.Concat(GlobalGet(global), I32Const(1), I32Add, GlobalSet(global), GlobalGet(global))
		}), "4"},
		"size of memory": {leaking(func(*Guest) []byte {
			return slices.Concat(I32Const(3), MemoryGrow, Drop, MemorySize)
		}), "4"},
		"memory that was grown": {leaking(func(*Guest) []byte {
			return slices.Concat(I32Const(1), MemoryGrow, Drop, increment(leakGrown), loadByte(leakGrown))
		}), "1"},
		"all of the memory there can be": {leaking(func(*Guest) []byte {
			return slices.Concat(I32Const(15), MemoryGrow, Drop, increment(leakGrown), loadByte(leakGrown))
		}), "1"},
		"table": {leaking(func(g *Guest) []byte {
			g.Table(8, 0)
			return slices.Concat(
				I32Const(1), tableGet, refIsNull, // 1 as long as nothing was set
				I32Const(1), I32Const(0), tableGet, tableSet)
		}), "1"},
		"what was there after the initialization": {leaking(func(g *Guest) []byte {
			g.OnInit("_initialize", increment(leakZero), increment(leakZero))
			return slices.Concat(increment(leakZero), loadByte(leakZero))
		}), "3"},
		"a call that traps":            {leakingAndThen(Unreachable), "1"},
		"a call without end":           {leakingAndThen(Loop(Br(0))), "1"},
		"a call that is wrong":         {leakingAndThen(I32Const(0), I32Const(-1), Call(GuestResponse)), "1"},
		"a call that reports an error": {leakingAndThen(I32Const(0), I32Const(0), Call(GuestError), I32Const(0), Return), "1"},
	}
	for _, isolation := range isolations {
		engine := newEngine(t, policy.Config{MemoryLimitPages: 16, Isolation: isolation})
		for name, tc := range tests {
			t.Run(string(isolation)+"/"+name, func(t *testing.T) {
				checkNoTrace(t, engine, tc.binary, tc.digit)
			})
		}
	}
}

// askALot makes a large request and takes any end of it.
func askALot(t *testing.T, module *policy.Module) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, _ = module.Validate(ctx, policy.Call{}, json.RawMessage(`"`+strings.Repeat("x", 2000)+`"`))
}

// checkNoTrace asks a guest again and again what it finds, with large requests in between.
func checkNoTrace(t *testing.T, engine *policy.Engine, binary []byte, digit string) {
	t.Helper()
	module := compile(t, engine, binary)
	defer module.Close(t.Context())
	for range 4 {
		checkDigit(t, module, digit)
		checkDigit(t, module, digit)
		askALot(t, module)
	}
}

func checkDigit(t *testing.T, module *policy.Module, want string) {
	t.Helper()
	got, err := module.Validate(t.Context(), policy.Call{}, json.RawMessage(`{}`))
	checkError(t, err, nil)
	if got.Message == nil || *got.Message != want {
		t.Fatalf("got %+v, want message %s", got, want)
	}
}

func loadByte(address int32) []byte { return append(I32Const(address), I32Load8...) }

var (
	tableGet  = []byte{0x25, 0}
	tableSet  = []byte{0x26, 0}
	refIsNull = []byte{0xd1}
)

// A pristine module is initialized once and a fresh one for each call, also one of which
// the system could not put back what it changes or what the host answered.
func TestWhoIsInitializedOnce(t *testing.T) {
	const calls = 5
	logging := func(code ...[]byte) []byte {
		g := NewGuest()
		g.OnInit("_initialize", append([][]byte{g.Text("here I am"), Call(ConsoleLog)}, code...)...)
		return g.Bytes()
	}
	g := NewGuest()
	g.Table(8, 0)
	g.OnInit("_initialize", slices.Concat(g.Text("here I am"), Call(ConsoleLog), I32Const(1), I32Const(0), tableGet, tableSet))
	asking := NewGuest()
	asking.OnInit("_initialize", asking.Text("here I am"), Call(ConsoleLog), asking.CallHost("kubernetes", "can_i", "{}"), Drop)
	tests := map[string]struct {
		binary    []byte
		isolation policy.Isolation
		want      int
	}{
		"fresh":                        {logging(), policy.IsolationFresh, calls},
		"what is not said":             {logging(), "", 1},
		"pristine":                     {logging(), policy.IsolationPristine, 1},
		"a table that changes":         {g.Bytes(), policy.IsolationPristine, calls},
		"a question to the host":       {asking.Bytes(), policy.IsolationPristine, calls + 1},
		"an initialization that traps": {logging(Unreachable), policy.IsolationPristine, calls + 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			log := &bytes.Buffer{}
			engine := newEngine(t, policy.Config{Isolation: tc.isolation, Logger: slog.New(slog.NewTextHandler(log, nil))})
			module := compile(t, engine, tc.binary)
			for range calls {
				_, _ = module.Validate(t.Context(), policy.Call{}, json.RawMessage(`{}`)) // not all of them answer
			}
			if got := strings.Count(log.String(), "here I am"); got != tc.want {
				t.Errorf("initialized %d times, want %d\n%s", got, tc.want, log)
			}
		})
	}
}

// Calls at the same time, for several domains, have an instance each.
func TestPristineInstancesForManyAtOnce(t *testing.T) {
	engine := newEngine(t, policy.Config{Isolation: policy.IsolationPristine})
	module := compile(t, engine, leaking(func(*Guest) []byte { return append(increment(leakZero), loadByte(leakZero)...) }))
	var wait sync.WaitGroup
	for k := range 8 {
		wait.Go(func() {
			for range 50 {
				got, err := module.Validate(t.Context(), policy.Call{Domain: []string{"", "a", "b"}[k%3]}, json.RawMessage(`{}`))
				if err != nil || got.Message == nil || *got.Message != "1" {
					t.Errorf("got %+v, %v", got, err)
					return
				}
			}
		})
	}
	wait.Wait()
	if err := module.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestIsolationIsKnown(t *testing.T) {
	_, err := policy.NewEngine(t.Context(), policy.Config{Isolation: "warm"})
	checkError(t, err, &wantError{policy.KindInternal, `isolation "warm" is not known, want "fresh" or "pristine"`})
}
