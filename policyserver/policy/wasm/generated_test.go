package wasm_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasm"
)

// Random programs compute the same after the rewrite, however little fuel the host gives: what
// a program holds in locals, on the stack, in globals and memory goes through the call of the
// host at every place where there may be one.
func TestRewriteKeepsRandomPrograms(t *testing.T) {
	seen, ticks := map[string]int{}, 0
	trapped, calls := 0, 0
	for seed := range uint64(60) {
		for _, run := range compareGenerated(t, seed, seen) {
			ticks += run.Ticks
			calls++
			if run.Trap != "" {
				trapped++
			}
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d calls, of which %d trapped; %d ticks; %v", calls, trapped, ticks, seen)
	for _, construct := range []string{
		"loop", "loop in a loop", "loop in an expression", "loop with parameters", "loop with parameters of other types",
		"loop with results", "br to a loop", "br_if to a loop", "br_table to a loop", "br_table", "br_if with a value", "call_indirect",
		"return_call", "return_call_indirect", "ref.func", "memory.copy", "memory.fill", "memory.grow",
	} {
		if seen[construct] < 20 {
			t.Errorf("%s: %d of them in all programs, want at least 20", construct, seen[construct])
		}
	}
	if trapped == 0 || trapped > calls/3 {
		t.Errorf("%d of %d calls trapped; want some, and most to reach the end", trapped, calls)
	}
	if ticks < 100*calls {
		t.Errorf("%d ticks in %d calls, want at least 100 in each", ticks, calls)
	}
}

// The same for any seed.
func FuzzRewritePrograms(f *testing.F) {
	f.Add(uint64(1 << 40))
	f.Fuzz(func(t *testing.T, seed uint64) { compareGenerated(t, seed, map[string]int{}) })
}

// observed is what can be told of a call of a generated program.
type observed struct {
	Value   uint64
	Trap    string
	Traced  string // a hash of what the host was told, and how often
	Globals []uint64
	Memory  string // its size and a hash
	Steps   int    // that were taken
	Ticks   int
	Fuel    int // that the host gave
}

func compareGenerated(t *testing.T, seed uint64, seen map[string]int) []observed {
	t.Helper()
	original := generate(seed, seen)
	rewritten := rewrite(t, original)
	want := runGenerated(t, wazero.NewRuntimeConfigCompiler(), original, seed)
	var got []observed
	configs := map[string]wazero.RuntimeConfig{"compiler": wazero.NewRuntimeConfigCompiler()}
	if seed%8 == 0 { // a second opinion
		configs["interpreter"] = wazero.NewRuntimeConfigInterpreter()
	}
	for name, config := range configs {
		got = runGenerated(t, config, rewritten.Wasm, seed)
		paid, steps := 0, 0
		for k := range got {
			paid += got[k].Fuel + got[k].Ticks
			if steps += got[k].Steps; paid < steps {
				t.Errorf("seed %d, %s, call %d: %d entries of functions and loops so far, but only %d units of fuel", seed, name, k, steps, paid)
			}
			same := got[k]
			same.Ticks, same.Fuel = 0, 0
			if diff := cmp.Diff(want[k], same); diff != "" {
				t.Errorf("seed %d, %s, call %d: -original +rewritten\n%s", seed, name, k, diff)
			}
		}
	}
	return got
}

// runGenerated calls "run" with some arguments, one after the other in one instance.
func runGenerated(t *testing.T, config wazero.RuntimeConfig, binary []byte, seed uint64) []observed {
	t.Helper()
	ctx := t.Context()
	runtime := wazero.NewRuntimeWithConfig(ctx, config.WithCoreFeatures(features).WithMemoryLimitPages(8))
	defer runtime.Close(context.Background())
	var now observed
	fuel := rand.New(rand.NewPCG(seed, 2))
	tick := func(_ context.Context, stack []uint64) {
		if now.Ticks++; now.Ticks > 1_000_000 {
			panic(errors.New("stopped"))
		}
		stack[0] = someFuel(fuel)
		now.Fuel += int(stack[0])
	}
	hash, traced := fnv.New64a(), 0
	trace := func(_ context.Context, stack []uint64) {
		traced++
		_, _ = fmt.Fprintln(hash, canonicalBits(api.ValueTypeI32, stack[0]), stack[1], canonicalBits(api.ValueTypeF32, stack[2]), canonicalBits(api.ValueTypeF64, stack[3]))
	}
	i32, i64, f32, f64 := api.ValueTypeI32, api.ValueTypeI64, api.ValueTypeF32, api.ValueTypeF64
	_, err := runtime.NewHostModuleBuilder(wasm.FuelModule).NewFunctionBuilder().
		WithGoFunction(api.GoFunc(tick), nil, []api.ValueType{i32}).Export(wasm.FuelFunction).Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_, err = runtime.NewHostModuleBuilder("host").NewFunctionBuilder().
		WithGoFunction(api.GoFunc(trace), []api.ValueType{i32, i64, f32, f64}, nil).Export("trace").Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	module, err := runtime.Instantiate(ctx, binary)
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	arguments := []uint64{0, 1, 0xfffffff0, 12345}
	all := make([]observed, 0, len(arguments))
	for _, argument := range arguments {
		now = observed{}
		taken := int(int32(module.ExportedGlobal("taken").Get()))
		values, err := module.ExportedFunction("run").Call(ctx, argument)
		if err != nil {
			now.Trap = trapOf(err)
		} else {
			now.Value = values[0]
		}
		now.Traced = fmt.Sprintf("%d: %x", traced, hash.Sum64())
		now.observe(module, taken)
		all = append(all, now)
	}
	return all
}

func (o *observed) observe(module api.Module, taken int) {
	o.Steps = int(int32(module.ExportedGlobal("taken").Get())) - taken
	if o.Trap != "" {
		o.Steps += stepsOfCall - int(int32(module.ExportedGlobal("steps").Get()))
	}
	for k := range globalTypes {
		global := module.ExportedGlobal(fmt.Sprintf("g%d", k))
		o.Globals = append(o.Globals, canonicalBits(global.Type(), global.Get()))
	}
	view, _ := module.Memory().Read(0, module.Memory().Size())
	hash := fnv.New64a()
	hash.Write(view)
	o.Memory = fmt.Sprintf("%d: %x", len(view), hash.Sum64())
}

// someFuel is little fuel, mostly.
func someFuel(random *rand.Rand) uint64 {
	if random.IntN(100) == 0 {
		return wasm.Quantum / 8
	}
	return uint64(1 + random.IntN(1+random.IntN(20)))
}

// canonicalBits are those of a value; every NaN has the same.
func canonicalBits(t api.ValueType, bits uint64) uint64 {
	if t == api.ValueTypeI32 || t == api.ValueTypeF32 {
		bits &= math.MaxUint32 // above is whatever a register held
	}
	nan := t == api.ValueTypeF32 && math.IsNaN(float64(math.Float32frombits(uint32(bits)))) ||
		t == api.ValueTypeF64 && math.IsNaN(math.Float64frombits(bits))
	if nan {
		return math.MaxUint64
	}
	return bits
}
