package policy

import (
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

// runtimeCall is what the runtime does for a request to a guest: there is a processor for it, and
// an instance is taken, asked and put back. What is asked and answered is made and read by others.
func runtimeCall(tb testing.TB, mode string) func() {
	tb.Helper()
	engine, err := NewEngine(tb.Context(), Config{Processors: 1})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { engine.Close(tb.Context()) })
	binary := wasmtest.NewGuest().Bytes()
	if mode == "opa" {
		binary = wasmtest.NewRego(mode).Bytes()
	}
	module, err := engine.Compile(tb.Context(), binary)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, call := engine.runtime.Begin(tb.Context())
	session := engine.dispatcher.Session(host.Policy{})
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

// runtimeModes are those of guests that are called more than once in an instance's life.
var runtimeModes = []string{"kubewarden-wapc", "opa"}

// The runtime allocates next to nothing for a request.
func TestTheRuntimeAllocatesNextToNothing(t *testing.T) {
	for _, mode := range runtimeModes {
		if got := testing.AllocsPerRun(100, runtimeCall(t, mode)); got > mostAllocations {
			t.Errorf("%s: %v allocations for a request, want at most %d", mode, got, mostAllocations)
		}
	}
}

// BenchmarkRuntime is the runtime's part of a request.
func BenchmarkRuntime(b *testing.B) {
	for _, mode := range runtimeModes {
		b.Run(mode, func(b *testing.B) {
			call := runtimeCall(b, mode)
			b.ReportAllocs()
			for b.Loop() {
				call()
			}
		})
	}
}
