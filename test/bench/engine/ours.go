package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/metadata"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/protocol"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/rego"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/snapshot"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wapc"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasi"
	"github.com/kubewarden/kubewarden-operator/test/bench/guests"
)

// deadline is that of each request, as upstream's default.
const deadline = 2 * time.Second

// asker gives the verdict on a request.
type asker func(request json.RawMessage) (protocol.ValidationResponse, error)

// engineAsker asks as a policy server does.
func engineAsker(ctx context.Context, engine *policy.Engine, of guests.Guest, module []byte) (asker, error) {
	compiled, err := engine.Compile(ctx, module)
	if err != nil {
		return nil, err
	}
	return moduleAsker(ctx, compiled, callOf(of)), nil
}

// warmAsker asks as a policy server does whose policy is warm. A policy that is not is an error.
func warmAsker(ctx context.Context, engine *policy.Engine, of guests.Guest, module []byte) (asker, error) {
	compiled, err := engine.Compile(ctx, module)
	if err != nil {
		return nil, err
	}
	before := engine.Stats().Warm
	isolated, err := compiled.Isolate(ctx, callOf(of), policy.IsolationWarm)
	if err != nil {
		return nil, err
	}
	if after := engine.Stats(); after.Warm == before {
		return nil, fmt.Errorf("policy is not warm, by reason: %v", after.NotWarm)
	}
	return moduleAsker(ctx, isolated, callOf(of)), nil
}

// callOf is what a guest is asked as.
func callOf(of guests.Guest) policy.Call {
	return policy.Call{PolicyID: "kw.cap." + of.Name, Settings: of.Settings, Raw: of.Mode == metadata.ModeWASI}
}

func moduleAsker(ctx context.Context, module *policy.Module, call policy.Call) asker {
	return func(request json.RawMessage) (protocol.ValidationResponse, error) {
		limited, cancel := context.WithTimeout(ctx, deadline)
		defer cancel()
		return module.Validate(limited, call, request)
	}
}

// reuse runs guests in one instance that is never put back.
type reuse struct {
	runtime    *sandbox.Runtime
	memory     *snapshot.System
	dispatcher *host.Dispatcher
}

func newReuse(ctx context.Context) (*reuse, error) {
	system, err := snapshot.Open()
	if err != nil {
		return nil, err
	}
	runtime, err := sandbox.New(ctx, sandbox.Config{
		MemoryLimitPages: policy.DefaultMemoryLimitPages, Memory: system, Now: time.Now, Modules: reuseModules(),
	})
	if err != nil {
		return nil, errors.Join(err, system.Close())
	}
	return &reuse{runtime: runtime, memory: system, dispatcher: host.NewDispatcher(nil, slog.New(slog.DiscardHandler))}, nil
}

func (r *reuse) close(ctx context.Context) error {
	return errors.Join(r.runtime.Close(ctx), r.memory.Close())
}

// asker has a guest ready in an instance with the same memory as pristine ones have.
func (r *reuse) asker(ctx context.Context, of guests.Guest, module []byte) (asker, error) {
	program, err := r.runtime.Compile(ctx, module)
	if err != nil {
		return nil, err
	}
	begun, _ := r.runtime.Begin(ctx)
	session := r.dispatcher.Session(host.Policy{})
	if of.Mode == metadata.ModeWaPC {
		return r.wapcAsker(begun, of, program)
	}
	evaluated, err := rego.Load(begun, program)
	if err != nil {
		return nil, err
	}
	instance, err := keptInstance(begun, program, func(*sandbox.Instance) error { return nil })
	if err != nil {
		return nil, err
	}
	top, err := instance.Invoke(begun, "opa_heap_ptr_get")
	if err != nil {
		return nil, fmt.Errorf("read the end of the heap: %w", err)
	}
	heap := top[0]
	return func(request json.RawMessage) (protocol.ValidationResponse, error) {
		limited, cancel := context.WithTimeout(ctx, deadline)
		defer cancel()
		limited, _ = r.runtime.Begin(limited)
		input, data, decode := regoQuestion(of, request)
		known, err := evaluated.Read(limited, instance, session, data) // as the engine does where data is small
		if err != nil {
			return protocol.ValidationResponse{}, err
		}
		query := rego.Query{Input: input, Data: known, Host: session}
		answer, err := evaluated.Evaluate(limited, instance, query)
		if err != nil {
			return protocol.ValidationResponse{}, err
		}
		// OPA's allocator gives nothing back: whoever uses an instance again has to do it.
		if _, err := instance.Invoke(limited, "opa_heap_ptr_set", heap); err != nil {
			return protocol.ValidationResponse{}, err
		}
		return decode(answer)
	}, nil
}

func (r *reuse) wapcAsker(ctx context.Context, of guests.Guest, program *sandbox.Program) (asker, error) {
	instance, err := keptInstance(ctx, program, func(instance *sandbox.Instance) error {
		return wapc.Init(ctx, instance, r.dispatcher.Session(host.Policy{}))
	})
	if err != nil {
		return nil, err
	}
	return func(request json.RawMessage) (protocol.ValidationResponse, error) {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), deadline)
		defer cancel()
		limited, _ = r.runtime.Begin(limited)
		answer, err := wapc.Invoke(limited, instance, wapc.Request{
			Operation: "validate", Payload: document(of, request), Host: r.dispatcher.Session(host.Policy{}),
		})
		if err != nil {
			return protocol.ValidationResponse{}, err
		}
		return protocol.DecodeValidationResponse(answer)
	}, nil
}

// keptInstance is one whose memory lies where that of pristine ones does.
func keptInstance(ctx context.Context, program *sandbox.Program, init func(*sandbox.Instance) error) (*sandbox.Instance, error) {
	template, err := program.NewTemplate(ctx, memory.Modules, init)
	if err != nil {
		return nil, err
	}
	return template.Instantiate(ctx)
}

// document is what waPC guests and commands are asked with.
func document(of guests.Guest, request json.RawMessage) []byte {
	return protocol.AppendValidationRequest(make([]byte, 0, len(request)+len(of.Settings)+32), request, of.Settings)
}

// regoQuestion is what a guest in Rego is asked with: its input, its data, and the reader of
// its answer.
func regoQuestion(of guests.Guest, request json.RawMessage) (input, data []byte, decode func([]byte) (protocol.ValidationResponse, error)) {
	if of.Mode == metadata.ModeGatekeeper {
		return protocol.AppendGatekeeperInput(nil, request, of.Settings), []byte("{}"), protocol.DecodeGatekeeperResult
	}
	return protocol.AppendOPAInput(nil, request), protocol.Settings(of.Settings), protocol.DecodeOPAResult
}

// reuseModules are what guests import, as the engine provides it.
func reuseModules() []sandbox.HostModule {
	return append(wasi.HostModules(), wasi.Module(), wapc.Module(), rego.Module())
}
