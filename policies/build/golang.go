package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// reactorFlag makes a reactor: a module with exported functions and without a main that
// runs. Without it Go makes a command, which runs main.
const reactorFlag = "-buildmode=c-shared"

// compileGo compiles the Go package in a folder for WASI preview 1.
func compileGo(ctx context.Context, folder string, flags ...string) (module []byte, err error) {
	scratch, err := os.MkdirTemp("", "policy")
	if err != nil {
		return nil, fmt.Errorf("make scratch directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	out := filepath.Join(scratch, "policy.wasm")
	arguments := append([]string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out}, flags...)
	command := exec.CommandContext(ctx, "go", append(arguments, ".")...)
	command.Dir = folder
	command.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compile: %w\n%s", err, output)
	}
	module, err = os.ReadFile(out)
	if err != nil {
		return nil, fmt.Errorf("read module: %w", err)
	}
	return module, nil
}
