package wasm_test

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasm"
	. "github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// hostCalls runs "_start" and returns what the host was called with. It lets a command read
// at the third call of park.
func hostCalls(t *testing.T, binary []byte) []any {
	t.Helper()
	ctx := t.Context()
	runtime := wazero.NewRuntime(ctx)
	defer runtime.Close(ctx)
	calls, parks := []any{}, 0
	provide := func(module, name string, params, results int, serve func([]uint64)) {
		t.Helper()
		types := func(n int) []api.ValueType { return slices.Repeat([]api.ValueType{api.ValueTypeI32}, n) }
		_, err := runtime.NewHostModuleBuilder(module).NewFunctionBuilder().
			WithGoFunction(api.GoFunc(func(_ context.Context, stack []uint64) { serve(stack) }), types(params), types(results)).
			Export(name).Instantiate(ctx)
		if err != nil {
			t.Fatal(err)
		}
	}
	provide(wasm.FuelModule, wasm.FuelFunction, 0, 1, func(stack []uint64) { stack[0] = wasm.Quantum })
	provide(wasm.ParkModule, wasm.ParkFunction, 1, 1, func(stack []uint64) {
		calls = append(calls, "park", uint32(stack[0]))
		parks++
		stack[0] = 0
		if parks < 3 {
			stack[0] = 1
		}
	})
	provide("wasi_snapshot_preview1", "fd_read", 4, 1, func(stack []uint64) {
		for _, argument := range stack[:4] {
			calls = append(calls, uint32(argument))
		}
		stack[0] = 8
	})
	module, err := runtime.InstantiateWithConfig(ctx, binary, wazero.NewModuleConfig().WithStartFunctions())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := module.ExportedFunction("_start").Call(ctx); err != nil {
		t.Fatal(err)
	}
	return calls
}

// A rewritten command says when it reads its standard input, by whatever way it calls, and
// when it has returned.
func TestRewriteCommand(t *testing.T) {
	four := slices.Repeat([]byte{I32}, 4)
	arguments := func(fd int32) []byte { return slices.Concat(I32Const(fd), I32Const(5), I32Const(6), I32Const(7)) }
	tests := map[string]struct {
		code func(read, signature uint32) []byte
		want []any
	}{
		"reading": {
			func(read, _ uint32) []byte { return slices.Concat(arguments(0), Call(read), Drop) },
			[]any{"park", uint32(0), "park", uint32(0), "park", uint32(0), uint32(0), uint32(5), uint32(6), uint32(7), "park", uint32(1)},
		},
		"through the table": {
			func(_, signature uint32) []byte {
				return slices.Concat(arguments(0), I32Const(0), CallIndirect(signature), Drop)
			},
			[]any{"park", uint32(0), "park", uint32(0), "park", uint32(0), uint32(0), uint32(5), uint32(6), uint32(7), "park", uint32(1)},
		},
		"another descriptor": {
			func(read, _ uint32) []byte { return slices.Concat(arguments(3), Call(read), Drop) },
			[]any{uint32(3), uint32(5), uint32(6), uint32(7), "park", uint32(1)},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			m := New()
			signature := m.Type(four, []byte{I32})
			read := m.Import("wasi_snapshot_preview1", "fd_read", signature)
			m.Memory(1)
			m.Table(2, read)
			m.Export("_start", KindFunction, m.Func(m.Type(nil, nil), tc.code(read, signature)))
			rewritten, err := wasm.RewriteCommand(m.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, hostCalls(t, rewritten.Wasm)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// A function that only has the name of what a command calls or exports stays as it is, and so
// the error about it is the compiler's own.
func TestRewriteCommandKeepsOtherTypes(t *testing.T) {
	m := New()
	m.Import("wasi_snapshot_preview1", "fd_read", m.Type([]byte{I32}, nil))
	m.Memory(1)
	m.Export("_start", KindFunction, m.Func(m.Type([]byte{I32}, nil), LocalGet(0), Call(0)))
	rewritten, err := wasm.RewriteCommand(m.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	runtime := wazero.NewRuntime(t.Context())
	defer runtime.Close(t.Context())
	compiled, err := runtime.CompileModule(t.Context(), rewritten.Wasm)
	if err != nil {
		t.Fatal(err)
	}
	if got := compiled.ExportedFunctions()["_start"].ParamTypes(); len(got) != 1 {
		t.Errorf("_start has %d parameters, want 1", len(got))
	}
}
