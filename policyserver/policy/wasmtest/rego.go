package wasmtest

import (
	"fmt"
	"slices"
)

// Addresses of the texts in a Rego's memory, and of what it gives away as free.
const (
	AddressBuiltins    = 1000
	addressEntrypoints = 2000
	AddressResult      = 3000
	addressSpace       = 8000
)

// Rego builds a module with the exports of one that OPA has made and any code for its
// evaluation. Values in it are texts: to dump one is to return its address.
type Rego struct {
	*Module
	// Abort, PrintLine and Builtin1 are the functions that every such module imports.
	Abort, PrintLine, Builtin1 uint32
	// Builtins, Entrypoints and Result are JSON.
	Builtins, Entrypoints, Result string
	// Malloc and ResultAddress are what the module says instead of the truth, unless 0.
	Malloc, ResultAddress int32
	// Eval is the code of eval; nil succeeds.
	Eval []byte
	// Dump is the code of opa_value_dump; nil returns the address it is given.
	Dump []byte
	// MallocCode and DumpJSON are the same for opa_malloc and opa_json_dump.
	MallocCode, DumpJSON []byte
	// Start is the code of the start function; nil is none.
	Start []byte

	mode string
}

// NewRego is a module of execution mode "opa" or "gatekeeper" that accepts every request.
func NewRego(mode string) *Rego {
	m := New()
	r := &Rego{
		Module: m, mode: mode, Builtins: `{"trace":7}`, Entrypoints: `{"policy/main":0}`,
		Result: `[{"result":{"response":{"uid":"","allowed":true}}}]`,
	}
	if mode == "gatekeeper" {
		r.Result = `[{"result":[]}]`
	}
	r.Abort = m.Import("env", "opa_abort", m.Type(i32(1), nil))
	r.PrintLine = m.Import("env", "opa_println", m.Type(i32(1), nil))
	r.Builtin1 = m.Import("env", "opa_builtin1", m.Type(i32(3), i32(1)))
	m.ImportMemory("env", "memory", 1)
	m.Export("memory", KindMemory, 0)
	return r
}

// CallBuiltin is code that calls a builtin by its number with a value for its argument; the
// address of its answer stays on the stack.
func (r *Rego) CallBuiltin(number, argument int32) []byte {
	return slices.Concat(I32Const(number), I32Const(0), I32Const(argument), Call(r.Builtin1))
}

// i32 is a list of n i32, for signatures.
func i32(n int) []byte { return slices.Repeat([]byte{I32}, n) }

// Bytes is the binary.
func (r *Rego) Bytes() []byte {
	for address, text := range map[int32]string{AddressBuiltins: r.Builtins, addressEntrypoints: r.Entrypoints, AddressResult: r.Result} {
		r.Data(address, append([]byte(text), 0))
	}
	address := func(given, usual int32) []byte {
		if given != 0 {
			return I32Const(given)
		}
		return I32Const(usual)
	}
	code := func(given, usual []byte) []byte {
		if given != nil {
			return given
		}
		return usual
	}
	for _, function := range []struct {
		name            string
		params, results int
		code            []byte
	}{
		{"builtins", 0, 1, I32Const(AddressBuiltins)},
		{"entrypoints", 0, 1, I32Const(addressEntrypoints)},
		{"opa_malloc", 1, 1, code(r.MallocCode, address(r.Malloc, addressSpace))},
		{"opa_json_parse", 2, 1, LocalGet(0)},
		{"opa_value_parse", 2, 1, LocalGet(0)},
		{"opa_json_dump", 1, 1, code(r.DumpJSON, LocalGet(0))},
		{"opa_value_dump", 1, 1, code(r.Dump, LocalGet(0))},
		{"opa_eval_ctx_new", 0, 1, I32Const(1)},
		{"opa_eval_ctx_set_input", 2, 0, nil},
		{"opa_eval_ctx_set_data", 2, 0, nil},
		{"opa_eval_ctx_set_entrypoint", 2, 0, nil},
		{"eval", 1, 1, code(r.Eval, I32Const(0))},
		{"opa_eval_ctx_get_result", 1, 1, address(r.ResultAddress, AddressResult)},
	} {
		r.Export(function.name, KindFunction, r.Func(r.Type(i32(function.params), i32(function.results)), function.code))
	}
	if r.Start != nil {
		r.Section(8, U32(r.Func(r.Type(nil, nil), r.Start)))
	}
	r.Custom("io.kubewarden.metadata", fmt.Appendf(nil, `{"executionMode":%q,"rules":[],"mutating":false}`, r.mode))
	return r.Module.Bytes()
}
