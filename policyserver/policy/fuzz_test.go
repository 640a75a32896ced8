package policy_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/rego"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wapc"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasi"
	. "github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// before is what stands before the request in the document that guests are asked with.
const before = int32(len(`{"request":`))

// withParameters is code that calls a function with parameters out of memory, eight bytes
// each, and drops its result.
func withParameters(m *Module, module string, function sandbox.Function, address int32) []byte {
	index := m.Import(module, function.Name, m.Type(function.Params, function.Results))
	var code []byte
	for i, kind := range function.Params {
		load := I32Load
		if kind == I64 {
			load = []byte{0x29, 0x03, 0x00} // i64.load
		}
		code = slices.Concat(code, I32Const(address+8*int32(i)), load)
	}
	code = append(code, Call(index)...)
	if len(function.Results) > 0 {
		code = append(code, Drop...)
	}
	return code
}

// calling is a guest that calls one function of the host with parameters from its request.
func calling(module string, function sandbox.Function) []byte {
	switch module {
	case "env":
		r := NewRego("opa")
		r.Builtins = `{"trace":0,"json.marshal":1,"sprintf":2,"regex.match":3,"json.patch":4,"time.now_ns":5,"regex.replace":6,"regex.find_all_string_submatch_n":7}`
		const given = 8000 // by opa_malloc
		r.Eval = slices.Concat(withParameters(r.Module, module, function, given+before), I32Const(0))
		return r.Bytes()
	case "host", "kubewarden:javy/host":
		c := NewCommand()
		code := withParameters(c.Module, module, function, AddressBuffer+before)
		return c.Bytes(c.Echo(), code)
	default:
		g := NewGuest()
		code := withParameters(g.Module, module, function, AddressPayload+before)
		return g.OnValidate(g.Request(), code, code, g.Respond(`{"accepted":true}`)).Bytes()
	}
}

// Whatever parameters a function of the host is called with, the guest is answered or ended,
// never the host; and others are answered afterwards.
func FuzzHostFunctions(f *testing.F) {
	engine := newEngine(f, policy.Config{MemoryLimitPages: 4, Capabilities: map[string]host.Capability{"kubernetes": verdict{}}})
	var modules []*policy.Module
	for _, provided := range append(wasi.HostModules(), wasi.Module(), wapc.Module(), rego.Module()) {
		for _, function := range provided.Functions {
			for _, seed := range [][]byte{
				nil,
				{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
				{1, 0, 0, 0, 0, 0, 0, 0, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 9},
				{0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x90},
			} {
				f.Add(uint8(len(modules)), seed)
			}
			modules = append(modules, compile(f, engine, calling(provided.Name, function)))
		}
	}
	accepting := compile(f, engine, Accepting())
	granted, err := host.NewGrants([]string{"*"}, nil)
	if err != nil {
		f.Fatal(err)
	}
	call := policy.Call{PolicyID: "kw.cap.mine", Capabilities: granted}
	f.Fuzz(func(t *testing.T, which uint8, parameters []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := modules[int(which)%len(modules)].Validate(ctx, call, append(parameters, make([]byte, 72)...))
		failure, is := errors.AsType[*policy.Error](err)
		if err != nil && (!is || failure.Kind != policy.KindGuest && failure.Kind != policy.KindTimeout) {
			t.Errorf("got %v (kind %v), want an error of the guest", err, failure.Kind)
		}
		if got, err := accepting.Validate(t.Context(), policy.Call{}, []byte(`{}`)); err != nil || !got.Accepted {
			t.Errorf("got %+v, %v from another policy afterwards", got, err)
		}
	})
}
