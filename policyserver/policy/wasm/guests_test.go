package wasm_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/kubewarden/kubewarden-operator/policies/policiestest"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasm"
)

// A real guest answers the same before and after the rewrite, and leaves the same memory:
// wazero's clocks and randomness are deterministic unless told otherwise, so that not even
// a hash seed differs.
func TestRewriteKeepsRealGuests(t *testing.T) {
	requests := []string{
		`{"request":{"kind":{"kind":"Pod"},"object":{"spec":{"containers":[{"securityContext":{"privileged":true}}]}}},"settings":{}}`,
		`{"request":{"kind":{"kind":"Pod"},"object":{"metadata":{"labels":{"team":"x","env":"qa"}},"spec":{}}},"settings":null}`,
		`{"request":{"kind":{"kind":"Pod"},"object":{"metadata":{"labels":{}}}},"settings":{"mandatory_labels":["team"]}}`,
		`nonsense`,
	}
	for _, name := range []string{"pod-privileged", "required-labels"} {
		t.Run(name, func(t *testing.T) {
			binary := policiestest.Module(t, name)
			rewritten := rewrite(t, binary)
			if rewritten.Unrestorable != "" {
				t.Errorf("an instance could not be put back: it uses %s", rewritten.Unrestorable)
			}
			want, got := newWaPC(t, binary), newWaPC(t, rewritten.Wasm)
			for _, request := range requests {
				compare(t, want, got, request)
			}
		})
	}
}

// Guests of every mode can be rewritten, and put back to their first state.
func TestRewriteOfAllModes(t *testing.T) {
	for name, imports := range map[string]bool{"container-limits": true, "trusted-registries": false} {
		rewritten := rewrite(t, policiestest.Module(t, name))
		if rewritten.Unrestorable != "" {
			t.Errorf("%s: an instance could not be put back: it uses %s", name, rewritten.Unrestorable)
		}
		fromOPA := slices.ContainsFunc(rewritten.Imports, func(i wasm.Import) bool { return i.Module == "env" && i.Name == "opa_abort" })
		if fromOPA != imports {
			t.Errorf("%s: got imports %v", name, rewritten.Imports)
		}
	}
}

func compare(t *testing.T, want, got *waPC, request string) {
	t.Helper()
	for _, operation := range []string{"validate", "validate_settings"} {
		if diff := cmp.Diff(want.call(t, operation, request), got.call(t, operation, request)); diff != "" {
			t.Errorf("%s %s: -original +rewritten\n%s", operation, request, diff)
		}
		if !bytes.Equal(want.memory(t), got.memory(t)) {
			t.Errorf("%s %s: memory differs", operation, request)
		}
	}
}

// waPC is the least of a waPC host.
type waPC struct {
	module             api.Module
	operation, payload string
	answer             string
}

func newWaPC(t *testing.T, binary []byte) *waPC {
	t.Helper()
	ctx := t.Context()
	// The interpreter is ready in a fraction of the compiler's time.
	runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(features))
	t.Cleanup(func() { _ = runtime.Close(context.Background()) })
	wasi_snapshot_preview1.MustInstantiate(ctx, runtime)
	host := &waPC{}
	i32 := api.ValueTypeI32
	answer := func(kind string) api.GoModuleFunc {
		return func(_ context.Context, module api.Module, stack []uint64) {
			view, _ := module.Memory().Read(uint32(stack[0]), uint32(stack[1]))
			host.answer = fmt.Sprintf("%s %s", kind, view)
		}
	}
	request := func(_ context.Context, module api.Module, stack []uint64) {
		module.Memory().WriteString(uint32(stack[0]), host.operation)
		module.Memory().WriteString(uint32(stack[1]), host.payload)
	}
	builder := runtime.NewHostModuleBuilder("wapc")
	for name, function := range map[string]api.GoModuleFunc{
		"__guest_request": request, "__guest_response": answer("response"), "__guest_error": answer("error"),
	} {
		builder.NewFunctionBuilder().WithGoModuleFunction(function, []api.ValueType{i32, i32}, nil).Export(name)
	}
	// Nothing is answered to guests that ask.
	for name, values := range map[string][2]int{
		"__host_call": {8, 1}, "__host_response_len": {0, 1}, "__host_response": {1, 0}, "__host_error_len": {0, 1}, "__host_error": {1, 0},
	} {
		builder.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, _ api.Module, stack []uint64) {
			clear(stack[:values[1]])
		}), slices.Repeat([]api.ValueType{i32}, values[0]), slices.Repeat([]api.ValueType{i32}, values[1])).Export(name)
	}
	if _, err := builder.Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	_, err := runtime.NewHostModuleBuilder(wasm.FuelModule).NewFunctionBuilder().
		WithGoFunction(api.GoFunc(func(_ context.Context, stack []uint64) { stack[0] = wasm.Quantum }), nil, []api.ValueType{i32}).
		Export(wasm.FuelFunction).Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	host.module, err = runtime.InstantiateWithConfig(ctx, binary, wazero.NewModuleConfig().WithStartFunctions("_initialize"))
	if err != nil {
		t.Fatal(err)
	}
	return host
}

func (h *waPC) call(t *testing.T, operation, payload string) string {
	t.Helper()
	h.operation, h.payload, h.answer = operation, payload, ""
	_, err := h.module.ExportedFunction("__guest_call").Call(t.Context(), uint64(len(operation)), uint64(len(payload)))
	if err != nil {
		t.Fatal(err)
	}
	return h.answer
}

func (h *waPC) memory(t *testing.T) []byte {
	t.Helper()
	view, ok := h.module.Memory().Read(0, h.module.Memory().Size())
	if !ok {
		t.Fatal("no memory")
	}
	return view
}
