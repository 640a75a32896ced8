package guests

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/kubewarden/kubewarden-operator/policies/build"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/metadata"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasm"
)

// Guest is a module and what it is asked with.
type Guest struct {
	Name string
	Mode metadata.ExecutionMode
	// Settings are some that accept what Request makes.
	Settings json.RawMessage
	// Request is the document of an accepted request of about that many bytes.
	Request func(bytes int) json.RawMessage
	// Refused makes an accepted request one that is refused; nil for a guest that refuses none,
	// or asks the host for what it says then: not every host here has builtins.
	Refused func(request json.RawMessage) json.RawMessage

	build func(ctx context.Context, root string, of Guest) ([]byte, error)
}

// All are the guests that the figures to hold are about.
func All() []Guest {
	none := json.RawMessage(`{}`)
	return []Guest{
		{Name: "opa-happy", Mode: metadata.ModeOPA, Settings: none, Request: podRequest, build: fromRego},
		{
			Name: "gk-privileged", Mode: metadata.ModeGatekeeper, Settings: none, Request: podRequest, build: fromRego,
			Refused: with(`"privileged":false`, `"privileged":true`),
		},
		{
			Name: "gk-limits", Mode: metadata.ModeGatekeeper, Settings: json.RawMessage(`{"cpu":"64","memory":"1Ti"}`),
			Request: podRequest, build: policyOf("container-limits"),
		},
		{
			Name: "go-wapc-labels", Mode: metadata.ModeWaPC, Request: podRequest, build: policyOf("required-labels"),
			Settings: json.RawMessage(`{"mandatory_labels":["team"],"constrained_labels":{"team":"^[a-z]+$"}}`),
			Refused:  with(`"team":"alpha"`, `"team":"4"`),
		},
		{Name: "c-echo", Mode: metadata.ModeWaPC, Settings: none, Request: podRequest, build: fromC},
		{Name: "as-echo", Mode: metadata.ModeWaPC, Settings: none, Request: podRequest, build: fromAssemblyScript},
		{
			Name: "go-wasi-raw", Mode: metadata.ModeWASI, Request: rawRequest, build: fromGo,
			Settings: json.RawMessage(`{"validUsers":["tonio"],"validActions":["eats"],"validResources":["hay"]}`),
			Refused:  with(`"user":"tonio"`, `"user":"berta"`),
		},
	}
}

// Raw says whether requests are documents of any form, not those of an AdmissionReview.
func (g Guest) Raw() bool { return g.Mode == metadata.ModeWASI }

// Around surrounds a document with what it is sent to a policy server in, and splits that at the
// place of its UID.
func (g Guest) Around(document string) (before, after string) {
	const key = `"uid":"`
	if g.Raw() {
		return `{"request":{` + key, `",` + document[1:] + "}"
	}
	before, after, _ = strings.Cut(document, key)
	_, after, _ = strings.Cut(after, `"`)
	return `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":` + before + key, `"` + after + "}"
}

// Build builds the module in the tree at root.
func (g Guest) Build(ctx context.Context, root string) ([]byte, error) {
	module, err := g.build(ctx, root, g)
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", g.Name, err)
	}
	return module, nil
}

// policyOf builds a policy of policies/.
func policyOf(name string) func(context.Context, string, Guest) ([]byte, error) {
	return func(ctx context.Context, root string, _ Guest) ([]byte, error) {
		made, err := build.Build(ctx, root, name)
		return made.Module, err
	}
}

// folder is where the sources of a guest of this folder stand.
func folder(root, name string) string {
	return filepath.Join(root, "test", "bench", "guests", name)
}

func fromRego(ctx context.Context, root string, of Guest) ([]byte, error) {
	compiled, err := build.CompileRego(ctx, os.DirFS(folder(root, of.Name)), of.Mode)
	if err != nil {
		return nil, err
	}
	return annotated(compiled, of.Mode)
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
func fromGo(ctx context.Context, root string, of Guest) ([]byte, error) {
	return compile(of, func(out string) *exec.Cmd {
		command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out, ".")
		command.Dir = folder(root, of.Name)
		command.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
		return command
	})
}

// clangs are the names that Debian's packages give the compiler.
var clangs = []string{"clang", "clang-19", "clang-18", "clang-17", "clang-16", "clang-15", "clang-14"}

func fromC(ctx context.Context, root string, of Guest) ([]byte, error) {
	for _, name := range clangs {
		if compiler, err := exec.LookPath(name); err == nil {
			return compile(of, func(out string) *exec.Cmd {
				return exec.CommandContext(ctx, compiler, "--target=wasm32", "-nostdlib", "-O2", "-Wl,--no-entry",
					"-o", out, filepath.Join(folder(root, of.Name), "echo.c"))
			})
		}
	}
	return nil, errors.New("there is no clang: install Debian's packages clang and lld, or clang-14 and lld-14")
}

// assemblyScript is the compiler of the figures.
const assemblyScript = "assemblyscript@0.28.20"

func fromAssemblyScript(ctx context.Context, root string, of Guest) ([]byte, error) {
	npx, err := exec.LookPath("npx")
	if err != nil {
		return nil, fmt.Errorf("there is no npx, which runs %s: install Node.js 20 or later with npm", assemblyScript)
	}
	return compile(of, func(out string) *exec.Cmd {
		command := exec.CommandContext(ctx, npx, "--yes", "--package="+assemblyScript, "--", "asc", "echo.ts",
			"-O3", "--runtime", "incremental", "--use", "abort=", "--outFile", out)
		command.Dir = folder(root, of.Name)
		return command
	})
}

// compile runs a compiler and annotates what it made.
func compile(of Guest, command func(out string) *exec.Cmd) (module []byte, err error) {
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
	return annotated(compiled, of.Mode)
}
