package policy_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	. "github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// A module that only pretends to come from OPA can hurt nobody but itself.
func TestHostileRego(t *testing.T) {
	tests := map[string]struct {
		change  func(*Rego)
		wantErr string
	}{
		"as it should be": {change: func(*Rego) {}},
		"a result outside of memory": {
			func(h *Rego) { h.ResultAddress = -1 }, "internal server error: 1 bytes at address 0xffffffff lie outside the memory of 65536 bytes",
		},
		"a result without end": {
			func(h *Rego) {
				h.ResultAddress = 60_000
				h.Eval = slices.Concat(I32Const(60_000), I32Const(32), I32Const(5536), MemoryFill, I32Const(0))
			}, "internal server error: text at address 0xea60 does not end within 5536 bytes",
		},
		"memory that there is not": {
			func(h *Rego) { h.Malloc = 65_530 }, "internal server error: hand over input: 23 bytes at address 0xfffa lie outside the memory of 65536 bytes",
		},
		"a builtin that it does not name": {
			func(h *Rego) { h.Eval = h.CallBuiltin(8, AddressResult) },
			"internal server error: policy calls builtin 8, which it does not name",
		},
		"a builtin with too few arguments": {
			func(h *Rego) {
				h.Builtins = `{"sprintf":7}`
				h.Eval = h.CallBuiltin(7, AddressResult)
			}, "internal server error: builtin sprintf was called with 1 arguments, want 2",
		},
		"an argument outside of memory": {
			func(h *Rego) { h.Eval = h.CallBuiltin(7, -1) },
			"internal server error: builtin trace: argument 1: 1 bytes at address 0xffffffff lie outside the memory of 65536 bytes",
		},
		"an argument that is no value": {
			func(h *Rego) {
				h.Result = "what"
				h.Eval = h.CallBuiltin(7, AddressResult)
			},
			"internal server error: builtin trace: argument 1: unexpected 'w' in a value at offset 0",
		},
		"an argument of another type": {
			func(h *Rego) {
				h.Builtins, h.Result = `{"units.parse":7}`, "3"
				h.Eval = h.CallBuiltin(7, AddressResult)
			}, "internal server error: builtin units.parse: operand 1 must be string but got number",
		},
		"a builtin within a builtin": {
			func(h *Rego) {
				h.Dump = slices.Concat(I32Const(7), I32Const(0), LocalGet(0), Call(h.Builtin1))
				h.Eval = h.CallBuiltin(7, AddressResult)
			}, "guest was called by the host for the host, which was to call it again",
		},
		"a trap within a builtin": {
			func(h *Rego) {
				h.Dump = slices.Concat(Unreachable, I32Const(0))
				h.Eval = h.CallBuiltin(7, AddressResult)
			}, "internal server error: wasm error: unreachable",
		},
		"giving up without a trap": {
			func(h *Rego) {
				h.Eval = slices.Concat(I32Const(AddressBuiltins), Call(h.Abort), I32Const(0))
			}, `internal server error: policy gave up: {"trace":7}`,
		},
		"printing from nowhere": {
			func(h *Rego) {
				h.Eval = slices.Concat(I32Const(-1), Call(h.PrintLine), I32Const(0))
			}, "internal server error: 1 bytes at address 0xffffffff lie outside the memory of 65536 bytes",
		},
	}
	engine := newEngine(t, policy.Config{MemoryLimitPages: 64})
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			guest := NewRego("opa")
			tc.change(guest)
			module := compile(t, engine, guest.Bytes())
			defer module.Close(t.Context())
			got, err := module.Validate(t.Context(), policy.Call{}, json.RawMessage(`"a request"`))
			checkGuestError(t, err, tc.wantErr)
			if tc.wantErr == "" && !got.Accepted {
				t.Errorf("got %+v, want an accepted request", got)
			}
		})
	}
}

func TestRegoRefusedWhenLoaded(t *testing.T) {
	tests := map[string]struct {
		builtins, entrypoints string
		want                  string
	}{
		"no entry point":        {`{}`, `{}`, "invalid WebAssembly module: module has no entry point 0, it was compiled without one"},
		"entry points in words": {`{}`, `{"a":"b"}`, "invalid WebAssembly module: decode entrypoints of module: json: cannot unmarshal string into Go value of type uint32"},
		"a builtin of its own":  {`{"mine":1}`, `{"a":0}`, "Missing Rego builtins: mine"},
	}
	engine := newEngine(t, policy.Config{})
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			guest := NewRego("opa")
			guest.Builtins, guest.Entrypoints = tc.builtins, tc.entrypoints
			_, err := engine.Compile(t.Context(), guest.Bytes())
			checkError(t, err, &wantError{policy.KindInvalidModule, tc.want})
		})
	}
}

// A module that never says what it needs is given up.
func TestRegoThatLoopsWhenLoaded(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	endless := NewRego("opa")
	endless.Start = Loop(Br(0))
	_, err := newEngine(t, policy.Config{}).Compile(ctx, endless.Bytes())
	checkError(t, err, &wantError{policy.KindUnavailable, "compile module"})
}
