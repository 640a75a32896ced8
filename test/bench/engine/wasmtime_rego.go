package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	wasmtime "github.com/bytecodealliance/wasmtime-go/v25"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/protocol"
	"github.com/kubewarden/kubewarden-operator/test/bench/guests"
)

// regoAsker evaluates a policy in Rego in the steps that upstream takes. Its guests ask for
// no builtin of the host on the way to their verdicts: one that does is an error.
func (o *other) regoAsker(of guests.Guest, module *wasmtime.Module) (asker, error) {
	var least uint32
	linker := wasmtime.NewLinker(o.engine)
	linker.AllowShadowing(true) // each store has a memory of its own under the one name
	for _, wanted := range module.Imports() {
		if memory := wanted.Type().MemoryType(); memory != nil {
			least = uint32(memory.Minimum())
			continue
		}
		if err := defineTrap(linker, wanted); err != nil {
			return nil, err
		}
	}
	return func(request json.RawMessage) (protocol.ValidationResponse, error) {
		input, data, decode := regoQuestion(of, request)
		store := o.store()
		defer store.Close()
		memory, err := wasmtime.NewMemory(store, wasmtime.NewMemoryType(least, false, 0))
		if err != nil {
			return protocol.ValidationResponse{}, fmt.Errorf("make memory: %w", err)
		}
		if err := linker.Define(store, "env", "memory", memory); err != nil {
			return protocol.ValidationResponse{}, fmt.Errorf("define memory: %w", err)
		}
		instance, err := linker.Instantiate(store, module)
		if err != nil {
			return protocol.ValidationResponse{}, fmt.Errorf("instantiate: %w", err)
		}
		evaluation := regoEvaluation{store: store, instance: instance, memory: memory}
		answer := evaluation.run(data, input)
		if evaluation.err != nil {
			return protocol.ValidationResponse{}, evaluation.err
		}
		return decode(answer)
	}, nil
}

// regoEvaluation is one evaluation; after an error it does nothing any more.
type regoEvaluation struct {
	store    *wasmtime.Store
	instance *wasmtime.Instance
	memory   *wasmtime.Memory
	err      error
}

func (e *regoEvaluation) call(function string, args ...any) int32 {
	if e.err != nil {
		return 0
	}
	result, err := e.instance.GetFunc(e.store, function).Call(e.store, args...)
	if err != nil {
		e.err = fmt.Errorf("call %s: %w", function, err)
	}
	address, _ := result.(int32)
	return address
}

// place writes a document into the guest and has it parsed there.
func (e *regoEvaluation) place(document []byte) int32 {
	address := e.call("opa_malloc", int32(len(document)))
	if e.err == nil {
		copy(e.memory.UnsafeData(e.store)[uint32(address):], document)
	}
	return e.call("opa_json_parse", address, int32(len(document)))
}

func (e *regoEvaluation) run(data, input []byte) []byte {
	dataAt, inputAt := e.place(data), e.place(input)
	context := e.call("opa_eval_ctx_new")
	e.call("opa_eval_ctx_set_input", context, inputAt)
	e.call("opa_eval_ctx_set_data", context, dataAt)
	e.call("opa_eval_ctx_set_entrypoint", context, int32(0))
	e.call("eval", context)
	text := e.call("opa_json_dump", e.call("opa_eval_ctx_get_result", context))
	if e.err != nil {
		return nil
	}
	rest := e.memory.UnsafeData(e.store)[uint32(text):]
	answer, _, ends := bytes.Cut(rest, []byte{0})
	if !ends {
		e.err = fmt.Errorf("the answer at %d does not end", text)
		return nil
	}
	return bytes.Clone(answer)
}
