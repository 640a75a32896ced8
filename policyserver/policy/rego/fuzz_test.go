package rego

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
)

// Whatever a guest hands to a builtin, the answer is a value that can be handed back, nothing,
// or an error that is the guest's own.
func FuzzBuiltins(f *testing.F) {
	names := Builtins()
	seeds := []string{
		`"%v %[3]*.[2]*f", [1, {2}]`, `{"a":[1,{"b":2}]}, [{"op":"remove","path":"/a/0"}]`, `"a*b", "aab", -1`, `"2006-01-02T15:04:05Z"`, `"10.0.0.0/8", "10.1.1.1"`,
		`{"a","b"}, ["a"]`, `[9223372036854775807, "Europe/Berlin"], 1, 2, 3`, `"a: &x [*x]"`, `"1Gi"`, `"urn:{[a-z]+}", "urn:foo", "{", "}"`, `1, 100000000`, ``, `"eyJ.e30.", "k"`,
	}
	for i := range names {
		f.Add(uint8(i), []byte(seeds[i%len(seeds)]))
		f.Add(uint8(i), []byte(seeds[(i*5+3)%len(seeds)]))
	}
	f.Fuzz(func(t *testing.T, which uint8, arguments []byte) {
		list, err := parse([]byte("[" + string(arguments) + "]"))
		if err != nil {
			return
		}
		resolved, err := resolve(map[string]uint32{names[int(which)%len(names)]: 0})
		if err != nil {
			t.Fatal(err)
		}
		asked := question{builtin: resolved[0], size: len(arguments)}
		list.Value.(*ast.Array).Foreach(func(argument *ast.Term) { asked.arguments = append(asked.arguments, argument) })
		if len(asked.arguments) != asked.builtin.arity {
			return // the host refuses these before
		}
		ctx, state := (&sandbox.Runtime{}).Begin(context.WithoutCancel(t.Context()))
		value, err := ask(state, newContext(ctx, time.Unix(0, 0)), asked)
		if err != nil {
			if _, own := errors.AsType[*sandbox.ViolationError](err); !own {
				t.Errorf("%s(%s): got %T %v, want a violation", asked.builtin.name, arguments, err, err)
			}
			return
		}
		checkCrossing(t, value)
	})
}

// checkCrossing writes a value for the guest and reads it as the guest would.
func checkCrossing(t *testing.T, value *ast.Term) {
	t.Helper()
	if value == nil {
		return
	}
	written := encoder{limit: maxResult, sets: true}
	if err := written.encode(value.Value, 0); err != nil {
		return // too deep or too large for the guest, which is told so
	}
	if bytes.Contains(written.out, []byte(`\ufffd`)) {
		return // bytes that are no text do not cross as they are
	}
	if again, err := parse(written.out); err != nil || !again.Equal(value) {
		t.Errorf("got %s, which is %v (%v) when it is read again", written.out, again, err)
	}
}
