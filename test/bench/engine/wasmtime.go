package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	wasmtime "github.com/bytecodealliance/wasmtime-go/v25"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/metadata"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/protocol"
	"github.com/kubewarden/kubewarden-operator/test/bench/guests"
)

// tick is how often the epoch goes on, as in upstream's policy server.
const tick = 10 * time.Millisecond

// other is wasmtime, set up as upstream does it: deadlines by epochs, all else by default.
type other struct {
	engine  *wasmtime.Engine
	stop    chan struct{}
	scratch []string // directories that go with it
}

func newOther() *other {
	config := wasmtime.NewConfig()
	config.SetEpochInterruption(true)
	started := &other{engine: wasmtime.NewEngineWithConfig(config), stop: make(chan struct{})}
	go func() {
		epochs := time.NewTicker(tick)
		defer epochs.Stop()
		for {
			select {
			case <-epochs.C:
				started.engine.IncrementEpoch()
			case <-started.stop:
				return
			}
		}
	}()
	return started
}

func (o *other) close() error {
	close(o.stop)
	var err error
	for _, directory := range o.scratch {
		err = errors.Join(err, os.RemoveAll(directory))
	}
	return err
}

// store is that of one request.
func (o *other) store() *wasmtime.Store {
	store := wasmtime.NewStore(o.engine)
	store.SetEpochDeadline(uint64(deadline / tick))
	return store
}

// asker makes an instance for each request, of a module that is compiled once.
func (o *other) asker(of guests.Guest, binary []byte) (asker, error) {
	module, err := wasmtime.NewModule(o.engine, binary)
	if err != nil {
		return nil, fmt.Errorf("compile by wasmtime: %w", err)
	}
	switch of.Mode {
	case metadata.ModeWaPC:
		return o.wapcAsker(of, module)
	case metadata.ModeWASI:
		return o.wasiAsker(of, module)
	case metadata.ModeOPA, metadata.ModeGatekeeper:
		return o.regoAsker(of, module)
	default:
		return nil, fmt.Errorf("execution mode %q is not measured", of.Mode)
	}
}

// wapcCall is the state of one call of a waPC guest.
type wapcCall struct {
	operation string
	payload   []byte
	response  []byte
	failure   string
}

// wapcAsker answers the three functions that the guests need. One request runs at a time, so
// that its state can be where the functions find it.
func (o *other) wapcAsker(of guests.Guest, module *wasmtime.Module) (asker, error) {
	linker := wasmtime.NewLinker(o.engine)
	if err := linker.DefineWasi(); err != nil {
		return nil, fmt.Errorf("define WASI: %w", err)
	}
	call := &wapcCall{}
	i32 := wasmtime.NewValType(wasmtime.KindI32)
	two := wasmtime.NewFuncType([]*wasmtime.ValType{i32, i32}, nil)
	answered := map[string]func(memory []byte, first, second uint32){
		"__guest_request": func(memory []byte, first, second uint32) {
			copy(memory[second:], call.payload)
			copy(memory[first:], call.operation)
		},
		"__guest_response": func(memory []byte, first, second uint32) {
			call.response = append([]byte(nil), memory[first:first+second]...)
		},
		"__guest_error": func(memory []byte, first, second uint32) { call.failure = string(memory[first : first+second]) },
	}
	for name, run := range answered {
		err := linker.FuncNew("wapc", name, two, func(caller *wasmtime.Caller, args []wasmtime.Val) ([]wasmtime.Val, *wasmtime.Trap) {
			memory := caller.GetExport("memory").Memory().UnsafeData(caller)
			run(memory, uint32(args[0].I32()), uint32(args[1].I32()))
			return nil, nil
		})
		if err != nil {
			return nil, fmt.Errorf("define %s: %w", name, err)
		}
	}
	for _, wanted := range module.Imports() {
		if wanted.Module() != "wapc" || answered[*wanted.Name()] != nil {
			continue
		}
		if err := defineTrap(linker, wanted); err != nil {
			return nil, err
		}
	}
	return func(request json.RawMessage) (protocol.ValidationResponse, error) {
		*call = wapcCall{operation: "validate", payload: document(of, request)}
		if err := o.callWapc(linker, module, call); err != nil {
			return protocol.ValidationResponse{}, err
		}
		return protocol.DecodeValidationResponse(call.response)
	}, nil
}

// defineTrap defines what a guest can call and does not when it is measured.
func defineTrap(linker *wasmtime.Linker, wanted *wasmtime.ImportType) error {
	name := *wanted.Name()
	err := linker.FuncNew(wanted.Module(), name, wanted.Type().FuncType(),
		func(*wasmtime.Caller, []wasmtime.Val) ([]wasmtime.Val, *wasmtime.Trap) {
			return nil, wasmtime.NewTrap("policy calls " + name)
		})
	if err != nil {
		return fmt.Errorf("define %s: %w", name, err)
	}
	return nil
}

func (o *other) callWapc(linker *wasmtime.Linker, module *wasmtime.Module, call *wapcCall) error {
	store := o.store()
	defer store.Close()
	store.SetWasi(wasmtime.NewWasiConfig())
	instance, err := linker.Instantiate(store, module)
	if err != nil {
		return fmt.Errorf("instantiate: %w", err)
	}
	for _, name := range []string{"_initialize", "_start", "wapc_init"} {
		if function := instance.GetFunc(store, name); function != nil {
			if _, err := function.Call(store); err != nil {
				return fmt.Errorf("call %s: %w", name, err)
			}
		}
	}
	succeeded, err := instance.GetFunc(store, "__guest_call").Call(store, int32(len(call.operation)), int32(len(call.payload)))
	if err != nil {
		return fmt.Errorf("call guest: %w", err)
	}
	if succeeded != int32(1) {
		return fmt.Errorf("guest failed: %s", call.failure)
	}
	return nil
}
