package policy

import (
	"runtime"
	"strings"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/rego"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wapc"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// mostAllocations is how often the runtime may allocate for a request: for the state of the
// protocol, and for the copy of the answer.
const mostAllocations = 2

// mostBytes is how much the runtime may allocate for a request, beside the answer.
const mostBytes = 512

// longAnswer is that of a guest that uses what there is.
var longAnswer = `{"accepted":true,"message":"` + strings.Repeat("x", 4_000) + `"}`

// busyGuest changes globals and many pages of its memory, which it grows, and asks for fuel
// between.
func busyGuest() []byte {
	g := wasmtest.NewGuest()
	rounds, sum := g.Global(100_000), g.Global(7)
	const step = 8_192 // every second page
	loop := wasmtest.Loop(
		wasmtest.GlobalGet(rounds), wasmtest.I32Const(-1), wasmtest.I32Add, wasmtest.GlobalSet(rounds),
		wasmtest.GlobalGet(rounds), wasmtest.I32Const(15), wasmtest.I32And, wasmtest.I32Const(step), wasmtest.I32Mul,
		wasmtest.GlobalGet(sum), wasmtest.I32Const(1), wasmtest.I32Add, wasmtest.GlobalSet(sum),
		wasmtest.GlobalGet(sum), wasmtest.I32Store,
		wasmtest.GlobalGet(rounds), wasmtest.BrIf(0))
	return g.OnValidate(wasmtest.I32Const(2), wasmtest.MemoryGrow, wasmtest.Drop, loop, g.Respond(longAnswer)).Bytes()
}

// runtimeCall is what the runtime does for a request to a guest: there is a processor for it, and
// an instance is taken, asked and put back. What is asked and answered is made and read by others.
func runtimeCall(tb testing.TB, guest runtimeGuest) func() {
	tb.Helper()
	engine, err := NewEngine(tb.Context(), Config{Processors: 1})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { engine.Close(tb.Context()) })
	binary := guest.binary()
	module, err := engine.Compile(tb.Context(), binary)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, call := engine.runtime.Begin(tb.Context())
	session := engine.dispatcher.Session(host.Policy{Domain: guest.domain})
	document, data := []byte(`{"request":{},"settings":{}}`), []byte(`{}`)
	ask := func(instance *sandbox.Instance) error {
		_, err := wapc.Invoke(ctx, instance, wapc.Request{Operation: "validate", Payload: document, Host: session})
		return err
	}
	if policy, is := module.guest.(opaGuest); is {
		ask = func(instance *sandbox.Instance) error {
			call.Protocol = nil
			read, err := policy.policy.Read(ctx, instance, session, data)
			if err != nil {
				return err
			}
			_, err = policy.policy.Evaluate(ctx, instance, rego.Query{Input: document, Data: read, Host: session})
			return err
		}
	}
	return func() {
		if err := module.lend(ctx, module.instances, session, ask); err != nil {
			tb.Fatal(err)
		}
	}
}

// runtimeGuest is a guest of a mode whose guests are called more than once in an instance's life.
type runtimeGuest struct {
	name, domain string
	binary       func() []byte
	answer       int // bytes that the runtime copies
}

var runtimeGuests = []runtimeGuest{
	{name: "kubewarden-wapc", binary: func() []byte { return wasmtest.NewGuest().Bytes() }},
	{name: "kubewarden-wapc/busy", binary: busyGuest, domain: "team", answer: len(longAnswer)},
	{name: "opa", binary: func() []byte { return wasmtest.NewRego("opa").Bytes() }},
}

// The runtime allocates next to nothing for a request.
func TestTheRuntimeAllocatesNextToNothing(t *testing.T) {
	for _, guest := range runtimeGuests {
		call := runtimeCall(t, guest)
		if got := testing.AllocsPerRun(100, call); got > mostAllocations {
			t.Errorf("%s: %v allocations for a request, want at most %d", guest.name, got, mostAllocations)
		}
		if got, most := bytesPerRun(100, call), uint64(guest.answer*5/4+mostBytes); got > most {
			t.Errorf("%s: %d bytes allocated for a request, want at most %d", guest.name, got, most)
		}
	}
}

// bytesPerRun is how much a run allocates on average, with what else happens meanwhile.
func bytesPerRun(runs int, run func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		run()
	}
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) / uint64(runs)
}

// BenchmarkRuntime is the runtime's part of a request.
func BenchmarkRuntime(b *testing.B) {
	for _, guest := range runtimeGuests {
		b.Run(guest.name, func(b *testing.B) {
			call := runtimeCall(b, guest)
			b.ReportAllocs()
			for b.Loop() {
				call()
			}
		})
	}
}
