package rego

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
)

// Names of exported functions.
const (
	exportBuiltins      = "builtins"
	exportEntrypoints   = "entrypoints"
	exportMalloc        = "opa_malloc"
	exportJSONParse     = "opa_json_parse"
	exportJSONDump      = "opa_json_dump"
	exportValueParse    = "opa_value_parse"
	exportValueDump     = "opa_value_dump"
	exportContextNew    = "opa_eval_ctx_new"
	exportSetInput      = "opa_eval_ctx_set_input"
	exportSetData       = "opa_eval_ctx_set_data"
	exportSetEntrypoint = "opa_eval_ctx_set_entrypoint"
	exportEval          = "eval"
	exportResult        = "opa_eval_ctx_get_result"
)

// exports are what a guest must export, with the number of parameters and results.
var exports = map[string][2]int{
	exportBuiltins:      {0, 1},
	exportEntrypoints:   {0, 1},
	exportMalloc:        {1, 1},
	exportJSONParse:     {2, 1},
	exportJSONDump:      {1, 1},
	exportContextNew:    {0, 1},
	exportSetInput:      {2, 0},
	exportSetData:       {2, 0},
	exportSetEntrypoint: {2, 0},
	exportEval:          {1, 1},
	exportResult:        {1, 1},
}

// entrypoint is the number of the entry point that is evaluated, whatever its name: the
// first, as upstream does.
const entrypoint = 0

// maxDirectory bounds the lists of builtins and entry points of a module.
const maxDirectory = 1 << 20

// Policy is what is known of a program for all of its instances. It does not change.
type Policy struct {
	builtins map[uint32]builtin
	// dump and parse are the functions that values cross by: those that know sets, or
	// those of JSON in modules that are too old to have them.
	dump, parse string
}

// Load asks a program what it needs and says why it cannot be evaluated. The context is
// that of a Call. The error is a *MissingError, or says what else is wrong.
func Load(ctx context.Context, program *sandbox.Program) (policy *Policy, err error) {
	for _, name := range slices.Sorted(maps.Keys(exports)) {
		if err := program.CheckExport(name, exports[name][0], exports[name][1]); err != nil {
			return nil, err
		}
	}
	policy = &Policy{dump: exportJSONDump, parse: exportJSONParse}
	if program.CheckExport(exportValueDump, 1, 1) == nil && program.CheckExport(exportValueParse, 2, 1) == nil {
		policy.dump, policy.parse = exportValueDump, exportValueParse
	}
	instance, err := program.Instantiate(ctx)
	if err != nil {
		return nil, fmt.Errorf("instantiate module: %w", err)
	}
	defer func() { err = errors.Join(err, instance.Close(ctx)) }()
	entrypoints, err := directory(ctx, instance, exportEntrypoints)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(slices.Collect(maps.Values(entrypoints)), entrypoint) {
		return nil, fmt.Errorf("module has no entry point %d, it was compiled without one", entrypoint)
	}
	wanted, err := directory(ctx, instance, exportBuiltins)
	if err != nil {
		return nil, err
	}
	if policy.builtins, err = resolve(wanted); err != nil {
		return nil, err
	}
	return policy, nil
}

// directory reads what one of two functions returns: an object of names and numbers.
func directory(ctx context.Context, instance *sandbox.Instance, function string) (map[string]uint32, error) {
	results, err := instance.Invoke(ctx, function)
	if err != nil {
		return nil, fmt.Errorf("ask module for its %s: %w", function, err)
	}
	text, err := dumped(ctx, instance, results[0], maxDirectory)
	if err != nil {
		return nil, fmt.Errorf("ask module for its %s: %w", function, err)
	}
	var numbers map[string]uint32
	if err := json.Unmarshal(text, &numbers); err != nil {
		return nil, fmt.Errorf("decode %s of module: %w", function, err)
	}
	return numbers, nil
}

// Data is where a data document lies that an instance has read. It lies there in every
// instance that is made the same by a template.
type Data uint32

// Read has a new instance read a data document, which is JSON. The error is one of those of
// Instance.Invoke.
func (p *Policy) Read(ctx context.Context, instance *sandbox.Instance, host Host, document []byte) (Data, error) {
	p.begin(ctx, host)
	address, err := place(ctx, instance, exportJSONParse, document)
	if err != nil {
		return 0, fmt.Errorf("hand over data: %w", err)
	}
	return Data(address), nil
}

// begin begins what guests may call for during a call, if that was not done.
func (p *Policy) begin(ctx context.Context, host Host) {
	call := sandbox.CallFrom(ctx)
	if call.Protocol == nil {
		call.Protocol = &exchange{policy: p, host: host}
	}
}

// Query is one evaluation.
type Query struct {
	// Input is a JSON document.
	Input []byte
	Data  Data
	Host  Host
}

// Evaluate evaluates the policy's first entry point in an instance that has read its data and
// nothing else, and returns the result set, a JSON document. The error is one of those of
// Instance.Invoke.
func (p *Policy) Evaluate(ctx context.Context, instance *sandbox.Instance, query Query) ([]byte, error) {
	p.begin(ctx, query.Host)
	input, err := place(ctx, instance, exportJSONParse, query.Input)
	if err != nil {
		return nil, fmt.Errorf("hand over input: %w", err)
	}
	results, err := instance.Invoke(ctx, exportContextNew)
	if err != nil {
		return nil, err
	}
	evaluation := results[0]
	for _, step := range [...]struct {
		function string
		value    uint64
	}{
		{exportSetInput, uint64(input)},
		{exportSetData, uint64(query.Data)},
		{exportSetEntrypoint, entrypoint},
	} {
		if _, err := instance.Invoke(ctx, step.function, evaluation, step.value); err != nil {
			return nil, err
		}
	}
	if _, err := instance.Invoke(ctx, exportEval, evaluation); err != nil {
		return nil, err
	}
	if results, err = instance.Invoke(ctx, exportResult, evaluation); err != nil {
		return nil, err
	}
	return dumped(ctx, instance, results[0], maxResult)
}

// dumped is a value of the guest as JSON.
func dumped(ctx context.Context, instance *sandbox.Instance, address uint64, limit uint32) ([]byte, error) {
	results, err := instance.Invoke(ctx, exportJSONDump, address)
	if err != nil {
		return nil, err
	}
	text, err := instance.Memory().Text(uint32(results[0]), limit)
	return slices.Clone(text), err
}

// caller is a guest that can be called, from outside or from an imported function.
type caller interface {
	Invoke(ctx context.Context, function string, args ...uint64) ([]uint64, error)
	Write(address uint32, content []byte) error
}

// place writes a document into the guest and has it parsed there. The context is that of a
// call that was begun.
func place(ctx context.Context, guest caller, parser string, document []byte) (uint32, error) {
	state, ok := sandbox.CallFrom(ctx).Protocol.(*exchange)
	if !ok {
		return 0, sandbox.Violationf("a document was to be handed over before the policy was asked")
	}
	length := uint64(len(document))
	state.args[0] = length
	results, err := guest.Invoke(ctx, exportMalloc, state.args[:1]...)
	if err != nil {
		return 0, err
	}
	text := results[0]
	if err := guest.Write(uint32(text), document); err != nil {
		return 0, err
	}
	state.args = [2]uint64{uint64(uint32(text)), length}
	if results, err = guest.Invoke(ctx, parser, state.args[:]...); err != nil {
		return 0, err
	}
	if uint32(results[0]) == 0 {
		return 0, sandbox.Violationf("policy cannot read %d bytes of JSON", length)
	}
	return uint32(results[0]), nil
}
