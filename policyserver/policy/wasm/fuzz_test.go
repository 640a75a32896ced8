package wasm_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/kubewarden/kubewarden-operator/policies/policiestest"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasm"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// Whatever the bytes, the rewriter answers with a module or a *FormatError. A module that
// was valid is valid afterwards, and computes the same where it can be run.
func FuzzRewrite(f *testing.F) {
	for _, seed := range [][]byte{
		tailCalls(), indirect(), tableSet(), typedReference(), elementForms(), passiveData(), startFunction(), globals(),
		vectors(), blockParameters(), extendedConstant(), apart(), overlapping(),
		program(1, pattern(5000), wasmtest.I32Const(9), wasmtest.I32Const(3), wasmtest.I32Const(4000), wasmtest.MemoryCopy, wasmtest.I32Const(1)),
		wasmtest.Accepting(), wasmtest.Recursing(), wasmtest.GrowingMemory(), wasmtest.CallingHost("kubernetes", "can_i", "{}"),
		policiestest.Module(f, "pod-privileged"), policiestest.Module(f, "container-limits"),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, binary []byte) {
		checkRewrite(t, binary)
	})
}

// The same for any code of a function: most changes to a whole module only break its frame.
func FuzzRewriteCode(f *testing.F) {
	for _, seed := range [][]byte{
		slices.Concat(wasmtest.Loop(wasmtest.LocalGet(0), wasmtest.I32Const(1), wasmtest.I32Sub, wasmtest.LocalSet(0), wasmtest.LocalGet(0), wasmtest.BrIf(0)), wasmtest.LocalGet(0)),
		slices.Concat(wasmtest.I32Const(9), wasmtest.I32Const(3), wasmtest.I32Const(4000), wasmtest.MemoryCopy, wasmtest.I32Const(1)),
		slices.Concat(wasmtest.I32Const(9), wasmtest.LocalGet(0), wasmtest.I32Const(4000), wasmtest.MemoryFill, wasmtest.MemorySize),
		slices.Concat(wasmtest.LocalGet(0), wasmtest.MemoryGrow),
		slices.Concat(wasmtest.LocalGet(0), wasmtest.If(wasmtest.LocalGet(0), wasmtest.Call(0), wasmtest.Drop), wasmtest.LocalGet(1)),
		{0x20, 0, 0xfd, 0x11, 0xfd, 0x1b, 3},
		{0x42, 0x80, 0x7f, 0xa7},
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		checkRewrite(t, program(1, code))
	})
}

func checkRewrite(t *testing.T, binary []byte) {
	t.Helper()
	rewritten, err := wasm.Rewrite(binary)
	if err != nil {
		if _, ok := errors.AsType[*wasm.FormatError](err); !ok {
			t.Fatalf("got %T, want a *FormatError: %v", err, err)
		}
		return
	}
	// What the rewriter has let through is safe to give to the compiler.
	original, originalErr := interpret(t, binary)
	changed, changedErr := interpret(t, rewritten.Wasm)
	if originalErr == nil && changedErr != nil {
		t.Fatalf("the module was valid, rewritten it is not: %v", changedErr)
	}
	if originalErr != nil || changedErr != nil {
		return
	}
	for _, argument := range []uint64{3, 0, 0xffffffff} {
		got := changed.call(t, argument)
		if got.Trap == stoppedTrap { // the original would not end
			return
		}
		got.Ticks = 0
		if diff := cmp.Diff(original.call(t, argument), got); diff != "" {
			t.Errorf("run(%d): -original +rewritten\n%s", int32(argument), diff)
		}
	}
}

const stoppedTrap = "stopped (recovered by wazero)"

// interpreted is a module for wazero's interpreter, which needs little time to prepare.
type interpreted struct {
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	ticks    *int
}

func interpret(t *testing.T, binary []byte) (*interpreted, error) {
	t.Helper()
	config := wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(features).WithMemoryLimitPages(64)
	runtime := wazero.NewRuntimeWithConfig(t.Context(), config)
	t.Cleanup(func() { _ = runtime.Close(context.Background()) })
	ticks := 0
	_, err := runtime.NewHostModuleBuilder(wasm.FuelModule).NewFunctionBuilder().
		WithGoFunction(api.GoFunc(func(_ context.Context, stack []uint64) {
			if ticks++; ticks > 200 {
				panic(errors.New("stopped"))
			}
			stack[0] = []uint64{100, 1, 2, 3}[ticks%4]
		}), nil, []api.ValueType{api.ValueTypeI32}).Export(wasm.FuelFunction).Instantiate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := runtime.CompileModule(t.Context(), binary)
	return &interpreted{runtime, compiled, &ticks}, err
}

// call runs a new instance of a module that needs nothing from the host and has run(i32) i32.
func (i *interpreted) call(t *testing.T, argument uint64) result {
	t.Helper()
	run, exported := i.compiled.ExportedFunctions()["run"]
	i32 := []api.ValueType{api.ValueTypeI32}
	if !exported || !cmp.Equal(run.ParamTypes(), i32) || !cmp.Equal(run.ResultTypes(), i32) {
		return result{}
	}
	module, err := i.runtime.InstantiateModule(t.Context(), i.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return result{Trap: trapOf(err)}
	}
	values, err := module.ExportedFunction("run").Call(t.Context(), argument)
	got := result{Ticks: *i.ticks}
	if err != nil {
		got.Trap = trapOf(err)
	} else {
		got.Value = values[0]
	}
	if _, present := module.ExportedMemoryDefinitions()["memory"]; present {
		view, _ := module.Memory().Read(0, module.Memory().Size())
		got.Memory = bytes.Clone(view)
	}
	return got
}

// trapOf is the trap without the names and indices of functions, which the rewrite shifts.
func trapOf(err error) string {
	first, _, _ := strings.Cut(err.Error(), "\n")
	if _, trap, found := strings.Cut(first, "failed: "); found {
		return trap
	}
	return first
}
