package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/kubewarden/kubewarden-operator/policies/build"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/metadata"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasm"
)

// guest is a module and what it is asked with.
type guest struct {
	name     string
	mode     metadata.ExecutionMode
	make     func(ctx context.Context, root string, of guest) ([]byte, error)
	settings json.RawMessage
	request  func(bytes int) json.RawMessage
	// refused makes an accepted request one that is refused; nil for a guest that refuses none,
	// or asks the host for what it says then: wasmtime's side has no builtins.
	refused func(request json.RawMessage) json.RawMessage
	// limit is the most that our part of wasmtime's time may be, with 5 KB.
	limit float64
}

// guests are those that the figures to hold are about.
var guests = []guest{
	{name: "opa-happy", mode: metadata.ModeOPA, make: fromRego, settings: json.RawMessage(`{}`), request: podRequest, limit: 0.65},
	{name: "gk-privileged", mode: metadata.ModeGatekeeper, make: fromRego, settings: json.RawMessage(`{}`), request: podRequest, limit: 0.65, refused: with(`"privileged":false`, `"privileged":true`)},
	{
		name: "gk-limits", mode: metadata.ModeGatekeeper, make: policyOf("container-limits"), request: podRequest, limit: 0.95,
		settings: json.RawMessage(`{"cpu":"64","memory":"1Ti"}`),
	},
	{
		name: "go-wapc-labels", mode: metadata.ModeWaPC, make: policyOf("required-labels"), request: podRequest, limit: 0.65,
		settings: json.RawMessage(`{"mandatory_labels":["team"],"constrained_labels":{"team":"^[a-z]+$"}}`),
		refused:  with(`"team":"alpha"`, `"team":"4"`),
	},
	{name: "c-echo", mode: metadata.ModeWaPC, make: fromC, settings: json.RawMessage(`{}`), request: podRequest, limit: 0.95},
	{name: "as-echo", mode: metadata.ModeWaPC, make: fromAssemblyScript, settings: json.RawMessage(`{}`), request: podRequest, limit: 0.95},
	{
		name: "go-wasi-raw", mode: metadata.ModeWASI, make: fromGo, request: rawRequest, limit: 0.65,
		settings: json.RawMessage(`{"validUsers":["tonio"],"validActions":["eats"],"validResources":["hay"]}`),
		refused:  with(`"user":"tonio"`, `"user":"berta"`),
	},
}

// policyOf builds a policy of policies/.
func policyOf(name string) func(context.Context, string, guest) ([]byte, error) {
	return func(ctx context.Context, root string, _ guest) ([]byte, error) {
		made, err := build.Build(ctx, root, name)
		return made.Module, err
	}
}

// folder is where the sources of a guest of this command stand.
func folder(root, name string) string {
	return filepath.Join(root, "test", "bench", "engine", "guests", name)
}

func fromRego(ctx context.Context, root string, of guest) ([]byte, error) {
	compiled, err := build.CompileRego(ctx, os.DirFS(folder(root, of.name)), of.mode)
	if err != nil {
		return nil, err
	}
	return annotated(compiled, of.mode)
}

// annotated gives a module the metadata without which it would be taken for a waPC guest.
func annotated(compiled []byte, mode metadata.ExecutionMode) ([]byte, error) {
	described := metadata.Default()
	described.Rules = []metadata.Rule{}
	described.ExecutionMode = mode
	if mode == metadata.ModeWaPC {
		described.ProtocolVersion = metadata.ProtocolV1
	}
	payload, err := json.Marshal(described)
	if err != nil {
		return nil, fmt.Errorf("encode metadata: %w", err)
	}
	return wasm.SetCustomSection(compiled, metadata.Section, payload)
}

// fromGo builds a command of WASI.
func fromGo(ctx context.Context, root string, of guest) ([]byte, error) {
	return compile(of, func(out string) *exec.Cmd {
		command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out, ".")
		command.Dir = folder(root, of.name)
		command.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
		return command
	})
}

// clangs are the names that Debian's packages give the compiler.
var clangs = []string{"clang", "clang-19", "clang-18", "clang-17", "clang-16", "clang-15", "clang-14"}

func fromC(ctx context.Context, root string, of guest) ([]byte, error) {
	for _, name := range clangs {
		if compiler, err := exec.LookPath(name); err == nil {
			return compile(of, func(out string) *exec.Cmd {
				return exec.CommandContext(ctx, compiler, "--target=wasm32", "-nostdlib", "-O2", "-Wl,--no-entry",
					"-o", out, filepath.Join(folder(root, of.name), "echo.c"))
			})
		}
	}
	return nil, errors.New("there is no clang: install Debian's packages clang and lld, or clang-14 and lld-14")
}

// assemblyScript is the compiler of the figures.
const assemblyScript = "assemblyscript@0.28.20"

func fromAssemblyScript(ctx context.Context, root string, of guest) ([]byte, error) {
	npx, err := exec.LookPath("npx")
	if err != nil {
		return nil, fmt.Errorf("there is no npx, which runs %s: install Node.js 20 or later with npm", assemblyScript)
	}
	return compile(of, func(out string) *exec.Cmd {
		command := exec.CommandContext(ctx, npx, "--yes", "--package="+assemblyScript, "--", "asc", "echo.ts",
			"-O3", "--runtime", "incremental", "--use", "abort=", "--outFile", out)
		command.Dir = folder(root, of.name)
		return command
	})
}

// compile runs a compiler and annotates what it made.
func compile(of guest, command func(out string) *exec.Cmd) (module []byte, err error) {
	scratch, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, fmt.Errorf("make scratch directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	out := filepath.Join(scratch, "guest.wasm")
	if output, err := command(out).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, output)
	}
	compiled, err := os.ReadFile(out)
	if err != nil {
		return nil, fmt.Errorf("read module: %w", err)
	}
	return annotated(compiled, of.mode)
}
