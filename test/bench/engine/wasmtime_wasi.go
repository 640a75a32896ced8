package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	wasmtime "github.com/bytecodealliance/wasmtime-go/v25"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/protocol"
	"github.com/kubewarden/kubewarden-operator/test/bench/guests"
)

// scratchInMemory is where files cost least: the Go binding of wasmtime has no other way to
// give a command its input and to get its output.
const scratchInMemory = "/dev/shm"

// wasiAsker runs a command for each request. A request that was asked before finds its
// input in place, which is to wasmtime's advantage.
func (o *other) wasiAsker(of guests.Guest, module *wasmtime.Module) (asker, error) {
	linker := wasmtime.NewLinker(o.engine)
	if err := linker.DefineWasi(); err != nil {
		return nil, fmt.Errorf("define WASI: %w", err)
	}
	scratch, err := os.MkdirTemp(scratchInMemory, "bench")
	if err != nil {
		return nil, fmt.Errorf("make scratch directory: %w", err)
	}
	o.scratch = append(o.scratch, scratch)
	in, out := filepath.Join(scratch, "in"), filepath.Join(scratch, "out")
	var written string
	return func(request json.RawMessage) (response protocol.ValidationResponse, err error) {
		question := document(of, request)
		if string(question) != written {
			if err := os.WriteFile(in, question, 0o600); err != nil {
				return response, fmt.Errorf("write input: %w", err)
			}
			written = string(question)
		}
		store := o.store()
		defer store.Close()
		config := wasmtime.NewWasiConfig()
		config.SetArgv([]string{"policy.wasm", "validate"})
		if err := errors.Join(config.SetStdinFile(in), config.SetStdoutFile(out)); err != nil {
			return response, fmt.Errorf("open files of command: %w", err)
		}
		store.SetWasi(config)
		instance, err := linker.Instantiate(store, module)
		if err != nil {
			return response, fmt.Errorf("instantiate: %w", err)
		}
		if _, err := instance.GetFunc(store, "_start").Call(store); err != nil {
			if exit := (*wasmtime.Error)(nil); !errors.As(err, &exit) || !succeeded(exit) {
				return response, fmt.Errorf("run command: %w", err)
			}
		}
		answer, err := os.ReadFile(out)
		if err != nil {
			return response, fmt.Errorf("read answer: %w", err)
		}
		return protocol.DecodeValidationResponse(answer)
	}, nil
}

// succeeded says whether what ended a command was its exit with code 0.
func succeeded(exit *wasmtime.Error) bool {
	code, exited := exit.ExitStatus()
	return exited && code == 0
}
