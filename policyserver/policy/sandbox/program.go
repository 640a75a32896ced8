package sandbox

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasm"
)

// largeModule is the size from which modules are compiled one at a time.
const largeModule = 10 << 20

// Program is a compiled module. It is safe for concurrent use.
type Program struct {
	runtime      *Runtime
	compiled     wazero.CompiledModule
	globals      []string
	unrestorable string
	size         memory.Size
	closed       atomic.Bool
}

// Bytes that a module takes once it is compiled: for each of its code so many of machine
// code, for each of all of it so many of the compiler's descriptions, and some however
// small it is. Measured on guests of every kind, since the compiler does not tell.
const (
	machineCodePerCode  = 5
	descriptionsPerByte = 2.3
	leastMachineCode    = 8 << 10
	leastDescriptions   = 32 << 10
)

// sizeOf is what a module will take. Machine code lies outside of Go's heap.
func sizeOf(rewritten wasm.Rewritten) memory.Size {
	return memory.Size{
		Mapped: leastMachineCode + machineCodePerCode*int64(rewritten.CodeBytes),
		Heap:   leastDescriptions + int64(descriptionsPerByte*float64(len(rewritten.Wasm))),
	}
}

// Compile rewrites and compiles a module and checks that it can be instantiated. The
// error is a *wasm.FormatError, a *memory.OverError, a *fs.PathError of the compilation
// cache, the context's, or says what else is wrong with the module.
func (r *Runtime) Compile(ctx context.Context, binary []byte) (*Program, error) {
	return r.compile(ctx, binary, wasm.Rewrite)
}

// CompileCommand is Compile for a command of WASI: its instances can be parked.
func (r *Runtime) CompileCommand(ctx context.Context, binary []byte) (*Program, error) {
	return r.compile(ctx, binary, wasm.RewriteCommand)
}

func (r *Runtime) compile(ctx context.Context, binary []byte, rewrite func([]byte) (wasm.Rewritten, error)) (*Program, error) {
	rewritten, err := rewrite(binary)
	if err != nil {
		return nil, err
	}
	if len(binary) > largeModule {
		select {
		case r.large <- struct{}{}:
			defer func() { <-r.large }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	size := sizeOf(rewritten)
	if err := r.budget.Take(memory.Modules, size); err != nil {
		return nil, err
	}
	started := r.now()
	compiled, err := compile(ctx, r.wazero, rewritten.Wasm)
	if err == nil {
		err = r.compilations.add(r.now().Sub(started))
	}
	if err != nil {
		if compiled != nil {
			err = errors.Join(err, compiled.Close(ctx))
		}
		r.budget.Give(memory.Modules, size)
		return nil, err
	}
	program := &Program{
		runtime:      r,
		compiled:     compiled,
		globals:      rewritten.Globals,
		unrestorable: rewritten.Unrestorable,
		size:         size,
	}
	if err := r.checkImports(compiled, rewritten.Imports); err != nil {
		return nil, errors.Join(err, program.Close(ctx))
	}
	if _, exported := compiled.ExportedMemories()["memory"]; !exported {
		return nil, errors.Join(errors.New(`module exports no memory "memory"`), program.Close(ctx))
	}
	return program, nil
}

// compile makes a panic of the compiler the error that it is: the module is hostile or
// the compiler has a defect, and neither may take down the other policies.
func compile(ctx context.Context, runtime wazero.Runtime, binary []byte) (compiled wazero.CompiledModule, err error) {
	defer func() {
		if defect := recover(); defect != nil {
			err = fmt.Errorf("compiler failed: %v", defect)
		}
	}()
	return runtime.CompileModule(ctx, binary)
}

// CheckExport says whether the program exports a function of that name with parameters
// and results of type i32 only.
func (p *Program) CheckExport(name string, params, results int) error {
	definition, exported := p.compiled.ExportedFunctions()[name]
	if !exported {
		return fmt.Errorf("module exports no function %q", name)
	}
	if !allI32(definition.ParamTypes(), params) || !allI32(definition.ResultTypes(), results) {
		return fmt.Errorf("module exports function %q with another signature than %d i32 to %d i32", name, params, results)
	}
	return nil
}

// Exports says whether the program exports a function of that name.
func (p *Program) Exports(name string) bool {
	_, exported := p.compiled.ExportedFunctions()[name]
	return exported
}

func allI32(types []api.ValueType, n int) bool {
	for _, t := range types {
		if t != api.ValueTypeI32 {
			return false
		}
	}
	return len(types) == n
}

// Unrestorable names what keeps instances of the program from being put back to their first
// state; "" when nothing does.
func (p *Program) Unrestorable() string { return p.unrestorable }

// Close gives back what the program holds. Instances live on until they are closed.
func (p *Program) Close(ctx context.Context) error {
	err := p.compiled.Close(ctx)
	if !p.closed.Swap(true) {
		p.runtime.budget.Give(memory.Modules, p.size)
	}
	return err
}

// Size is what the program takes of the memory for modules.
func (p *Program) Size() memory.Size { return p.size }

// startBytes is the size of an instance's memory in the beginning.
func (p *Program) startBytes() uint64 {
	return uint64(p.compiled.ExportedMemories()["memory"].Min()) * pageBytes
}
