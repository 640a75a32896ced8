package policy_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/metadata"
	. "github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// hostile is a module with the exports of one that OPA has made and a code of its own for
// eval. Values in it are texts: to dump one is to return its address.
type hostile struct {
	builtins, entrypoints, result string
	// malloc and result are addresses, where they are not 0.
	malloc, resultAddress int32
	// eval may call the three imported functions that it is given.
	eval func(abort, printLine, builtin1 uint32) []byte
	// dump is the code of opa_value_dump; nil returns the address it is given.
	dump []byte
	// start is the code of the start function; nil is none.
	start []byte
}

const (
	addressBuiltins    = 1000
	addressEntrypoints = 2000
	addressResult      = 3000
	addressSpace       = 8000
)

func (h hostile) bytes(t *testing.T) []byte {
	t.Helper()
	m := New()
	i32 := func(n int) []byte { return slices.Repeat([]byte{I32}, n) }
	abort := m.Import("env", "opa_abort", m.Type(i32(1), nil))
	printLine := m.Import("env", "opa_println", m.Type(i32(1), nil))
	builtin1 := m.Import("env", "opa_builtin1", m.Type(i32(3), i32(1)))
	m.ImportMemory("env", "memory", 1)
	m.Export("memory", KindMemory, 0)
	for address, text := range map[int32]string{addressBuiltins: h.builtins, addressEntrypoints: h.entrypoints, addressResult: h.result} {
		m.Data(address, append([]byte(text), 0))
	}
	function := func(name string, params, results int, code ...[]byte) {
		m.Export(name, KindFunction, m.Func(m.Type(i32(params), i32(results)), code...))
	}
	or := func(address, otherwise int32) []byte {
		if address != 0 {
			return I32Const(address)
		}
		return I32Const(otherwise)
	}
	dump := h.dump
	if dump == nil {
		dump = LocalGet(0)
	}
	eval := I32Const(0)
	if h.eval != nil {
		eval = h.eval(abort, printLine, builtin1)
	}
	function("builtins", 0, 1, I32Const(addressBuiltins))
	function("entrypoints", 0, 1, I32Const(addressEntrypoints))
	function("opa_malloc", 1, 1, or(h.malloc, addressSpace))
	function("opa_json_parse", 2, 1, LocalGet(0))
	function("opa_value_parse", 2, 1, LocalGet(0))
	function("opa_json_dump", 1, 1, LocalGet(0))
	function("opa_value_dump", 1, 1, dump)
	function("opa_eval_ctx_new", 0, 1, I32Const(1))
	function("opa_eval_ctx_set_input", 2, 0)
	function("opa_eval_ctx_set_data", 2, 0)
	function("opa_eval_ctx_set_entrypoint", 2, 0)
	function("eval", 1, 1, eval)
	function("opa_eval_ctx_get_result", 1, 1, or(h.resultAddress, addressResult))
	if h.start != nil {
		m.Section(8, U32(m.Func(m.Type(nil, nil), h.start)))
	}
	return annotate(t, m.Bytes(), metadata.ModeOPA)
}

// A module that only pretends to come from OPA can hurt nobody but itself.
func TestHostileRego(t *testing.T) {
	const fine = `[{"result":{"response":{"uid":"","allowed":true}}}]`
	good := hostile{builtins: `{"trace":7}`, entrypoints: `{"policy/main":0}`, result: fine}
	with := func(change func(*hostile)) hostile {
		changed := good
		change(&changed)
		return changed
	}
	calling := func(code ...[]byte) func(uint32, uint32, uint32) []byte {
		return func(_, _, builtin1 uint32) []byte { return append(slices.Concat(code...), Call(builtin1)...) }
	}
	tests := map[string]struct {
		guest   hostile
		wantErr string
	}{
		"as it should be": {guest: good},
		"a result outside of memory": {
			with(func(h *hostile) { h.resultAddress = -1 }), "internal server error: 1 bytes at address 0xffffffff lie outside the memory of 65536 bytes",
		},
		"a result without end": {
			with(func(h *hostile) {
				h.resultAddress = 60_000
				h.eval = func(uint32, uint32, uint32) []byte {
					return slices.Concat(I32Const(60_000), I32Const(32), I32Const(5536), MemoryFill, I32Const(0))
				}
			}), "internal server error: text at address 0xea60 does not end within 5536 bytes",
		},
		"memory that there is not": {
			with(func(h *hostile) { h.malloc = 65_530 }), "internal server error: hand over input: 23 bytes at address 0xfffa lie outside the memory of 65536 bytes",
		},
		"a builtin that it does not name": {
			with(func(h *hostile) { h.eval = calling(I32Const(8), I32Const(0), I32Const(addressResult)) }),
			"internal server error: policy calls builtin 8, which it does not name",
		},
		"a builtin with too few arguments": {
			with(func(h *hostile) {
				h.builtins = `{"sprintf":7}`
				h.eval = calling(I32Const(7), I32Const(0), I32Const(addressResult))
			}), "internal server error: builtin sprintf was called with 1 arguments, want 2",
		},
		"an argument outside of memory": {
			with(func(h *hostile) { h.eval = calling(I32Const(7), I32Const(0), I32Const(-1)) }),
			"internal server error: builtin trace: argument 1: 1 bytes at address 0xffffffff lie outside the memory of 65536 bytes",
		},
		"an argument that is no value": {
			with(func(h *hostile) {
				h.result = "what"
				h.eval = calling(I32Const(7), I32Const(0), I32Const(addressResult))
			}),
			"internal server error: builtin trace: argument 1: unexpected 'w' in a value at offset 0",
		},
		"an argument of another type": {
			with(func(h *hostile) {
				h.builtins, h.result = `{"units.parse":7}`, "3"
				h.eval = calling(I32Const(7), I32Const(0), I32Const(addressResult))
			}), "internal server error: builtin units.parse: operand 1 must be string but got number",
		},
		"a builtin within a builtin": {
			with(func(h *hostile) {
				h.dump = slices.Concat(I32Const(7), I32Const(0), LocalGet(0), Call(2))
				h.eval = calling(I32Const(7), I32Const(0), I32Const(addressResult))
			}), "guest was called by the host for the host, which was to call it again",
		},
		"a trap within a builtin": {
			with(func(h *hostile) {
				h.dump = slices.Concat(Unreachable, I32Const(0))
				h.eval = calling(I32Const(7), I32Const(0), I32Const(addressResult))
			}), "internal server error: wasm error: unreachable",
		},
		"giving up without a trap": {
			with(func(h *hostile) {
				h.eval = func(abort, _, _ uint32) []byte {
					return slices.Concat(I32Const(addressBuiltins), Call(abort), I32Const(0))
				}
			}), `internal server error: policy gave up: {"trace":7}`,
		},
		"printing from nowhere": {
			with(func(h *hostile) {
				h.eval = func(_, printLine, _ uint32) []byte { return slices.Concat(I32Const(-1), Call(printLine), I32Const(0)) }
			}), "internal server error: 1 bytes at address 0xffffffff lie outside the memory of 65536 bytes",
		},
	}
	engine := newEngine(t, policy.Config{MemoryLimitPages: 64})
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			module := compile(t, engine, tc.guest.bytes(t))
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
		guest hostile
		want  string
	}{
		"no entry point":        {hostile{builtins: `{}`, entrypoints: `{}`}, "invalid WebAssembly module: module has no entry point 0, it was compiled without one"},
		"entry points in words": {hostile{builtins: `{}`, entrypoints: `{"a":"b"}`}, "invalid WebAssembly module: decode entrypoints of module: json: cannot unmarshal string into Go value of type uint32"},
		"a builtin of its own":  {hostile{builtins: `{"mine":1}`, entrypoints: `{"a":0}`}, "Missing Rego builtins: mine"},
	}
	engine := newEngine(t, policy.Config{})
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := engine.Compile(t.Context(), tc.guest.bytes(t))
			checkError(t, err, &wantError{policy.KindInvalidModule, tc.want})
		})
	}
}

// A module that never says what it needs is given up.
func TestRegoThatLoopsWhenLoaded(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	endless := hostile{builtins: `{}`, entrypoints: `{}`, start: Loop(Br(0))}
	_, err := newEngine(t, policy.Config{}).Compile(ctx, endless.bytes(t))
	checkError(t, err, &wantError{policy.KindUnavailable, "compile module"})
}
