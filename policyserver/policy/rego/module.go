package rego

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
)

// maxText bounds the texts that a guest prints or gives up with.
const maxText = 64 << 10

// maxBuiltinArity is the highest number of arguments that the ABI has a function for.
const maxBuiltinArity = 4

// Host is what a guest prints to.
type Host interface {
	Output(ctx context.Context, stream, text string)
}

// exchange is the state of one evaluation.
type exchange struct {
	policy *Policy
	host   Host
	// context is that of all builtins of a call, whose time stands still; nil until one is
	// called.
	context *topdown.BuiltinContext
	// args are what a function of the guest is called with: the guest's functions are called
	// often, and arguments elsewhere would be allocated each time.
	args [2]uint64
}

// builtinContext is the context of builtins.
func (e *exchange) builtinContext(ctx context.Context, call *sandbox.Call) topdown.BuiltinContext {
	if e.context == nil {
		e.context = new(newContext(ctx, call.Now()))
	}
	return *e.context
}

// Module are the functions that guests import from "env". The memory that they import
// with them is made their own when they are rewritten.
func Module() sandbox.HostModule {
	module := sandbox.HostModule{Name: "env", Functions: []sandbox.Function{
		{Name: "opa_abort", Params: sandbox.I32(1), Run: abort},
		{Name: "opa_println", Params: sandbox.I32(1), Run: printLine},
	}}
	for arity := range maxBuiltinArity + 1 {
		module.Functions = append(module.Functions, sandbox.Function{
			Name:    fmt.Sprintf("opa_builtin%d", arity),
			Params:  sandbox.I32(2 + arity), // number of the builtin, reserved, arguments
			Results: sandbox.I32(1),
			Run:     runBuiltin(arity),
		})
	}
	return module
}

// abort ends the guest. Upstream's host only logs and relies on the guest to trap.
func abort(_ context.Context, guest sandbox.Guest, stack []uint64) error {
	text, err := guest.Memory.Text(uint32(stack[0]), maxText)
	if err != nil {
		return err
	}
	return sandbox.Violationf("policy gave up: %s", strings.ToValidUTF8(string(text), "\uFFFD"))
}

// printLine logs what a policy prints.
func printLine(ctx context.Context, guest sandbox.Guest, stack []uint64) error {
	state, err := stateOf(guest)
	if err != nil {
		return err
	}
	text, err := guest.Memory.Text(uint32(stack[0]), maxText)
	if err != nil {
		return err
	}
	state.host.Output(ctx, "print", strings.ToValidUTF8(string(text), "\uFFFD"))
	return nil
}

func stateOf(guest sandbox.Guest) (*exchange, error) {
	state, ok := guest.Call.Protocol.(*exchange)
	if !ok {
		return nil, sandbox.Violationf("a function of OPA's was called before the policy was")
	}
	return state, nil
}

// runBuiltin serves opa_builtin0 to opa_builtin4. A result of 0 means undefined.
func runBuiltin(arity int) func(context.Context, sandbox.Guest, []uint64) error {
	return func(ctx context.Context, guest sandbox.Guest, stack []uint64) error {
		state, err := stateOf(guest)
		if err != nil {
			return err
		}
		number := uint32(stack[0])
		called, known := state.policy.builtins[number]
		if !known {
			return sandbox.Violationf("policy calls builtin %d, which it does not name", number)
		}
		if called.arity != arity {
			return sandbox.Violationf("builtin %s was called with %d arguments, want %d", called.name, arity, called.arity)
		}
		if timed[called.name] {
			guest.Call.TellTime()
		}
		address, err := state.answer(ctx, guest, question{builtin: called, addresses: slices.Clone(stack[2 : 2+arity])})
		if err != nil {
			return during("builtin "+called.name, err)
		}
		stack[0] = uint64(address)
		return nil
	}
}

// answer asks a builtin and puts its value into the guest.
func (e *exchange) answer(ctx context.Context, guest sandbox.Guest, asked question) (uint32, error) {
	for i, address := range asked.addresses {
		argument, size, err := e.policy.load(ctx, guest, uint32(address))
		if err != nil {
			return 0, during(fmt.Sprintf("argument %d", i+1), err)
		}
		asked.arguments = append(asked.arguments, argument)
		if asked.size += size; asked.size > maxArguments {
			return 0, sandbox.Violationf("its arguments have more than %d bytes", maxArguments)
		}
	}
	if asked.builtin.name == "trace" {
		note, _ := asked.arguments[0].Value.(ast.String)
		e.host.Output(ctx, "trace", string(note))
	}
	value, err := ask(guest.Call, e.builtinContext(ctx, guest.Call), asked)
	if err != nil || value == nil {
		return 0, err
	}
	address, err := e.policy.store(ctx, guest, value)
	return address, during("result", err)
}

// during says over what a guest broke the rules. Other errors it leaves as they are.
func during(what string, err error) error {
	if violation, ok := errors.AsType[*sandbox.ViolationError](err); ok {
		return sandbox.Violationf("%s: %s", what, violation.Reason)
	}
	return err
}

// load reads a value out of the guest.
func (p *Policy) load(ctx context.Context, guest sandbox.Guest, address uint32) (*ast.Term, int, error) {
	results, err := guest.Invoke(ctx, p.dump, uint64(address))
	if err != nil {
		return nil, 0, err
	}
	text, err := guest.Memory.Text(uint32(results[0]), maxArguments)
	if err != nil {
		return nil, 0, err
	}
	term, err := parse(text)
	if err != nil {
		return nil, 0, sandbox.Violationf("%v", err)
	}
	return term, len(text), nil
}

// store makes a value in the guest.
func (p *Policy) store(ctx context.Context, guest sandbox.Guest, value *ast.Term) (uint32, error) {
	encoder := encoder{limit: maxResult, sets: p.parse == exportValueParse}
	if err := encoder.encode(value.Value, 0); err != nil {
		return 0, sandbox.Violationf("%v", err)
	}
	return place(ctx, guest, p.parse, encoder.out)
}
