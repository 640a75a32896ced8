package sandbox

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasm"
)

// HostModule is a set of functions that guests may import.
type HostModule struct {
	Name      string
	Functions []Function
}

// Function is a function that guests may import.
type Function struct {
	Name    string
	Params  []api.ValueType
	Results []api.ValueType
	// Run serves a call. The stack holds the parameters and takes the result; of an i32
	// only the low 32 bits mean anything. An error ends the guest.
	Run func(ctx context.Context, guest Guest, stack []uint64) error
}

// Guest is what an imported function sees of its caller.
type Guest struct {
	Call   *Call
	Memory Memory
}

// Write copies content into the guest's memory.
func (g Guest) Write(address uint32, content []byte) error { return g.Memory.Write(address, content) }

// Invoke calls an exported function of the caller, as Instance.Invoke does. A guest that
// is called so cannot make the host call it once more: that could go on until the host's
// stack is at its end.
func (g Guest) Invoke(ctx context.Context, function string, args ...uint64) ([]uint64, error) {
	if g.Call.calling {
		return nil, Violationf("guest was called by the host for the host, which was to call it again")
	}
	running := g.Call.running
	if running == nil {
		return nil, Violationf("guest was to be called by the host before it was made")
	}
	g.Call.calling = true
	defer func() { g.Call.calling = false }()
	return running.invoke(ctx, &running.nested, function, args)
}

// I32 is a list of n i32, for signatures.
func I32(n int) []api.ValueType { return slices.Repeat([]api.ValueType{api.ValueTypeI32}, n) }

// provide makes a host module importable.
func (r *Runtime) provide(ctx context.Context, module HostModule) error {
	builder := r.wazero.NewHostModuleBuilder(module.Name)
	for _, function := range module.Functions {
		builder.NewFunctionBuilder().
			WithGoModuleFunction(adapt(function.Run), function.Params, function.Results).
			Export(function.Name)
	}
	if _, err := builder.Instantiate(ctx); err != nil {
		return fmt.Errorf("provide host module %s: %w", module.Name, err)
	}
	return nil
}

// adapt stops the guest before and after an imported function when its time is up, and
// ends it by a panic when the function fails: wazero knows no other way out of a guest. It
// recovers the panic and returns its value as the error of the call.
func adapt(run func(context.Context, Guest, []uint64) error) api.GoModuleFunc {
	return func(instance context.Context, module api.Module, stack []uint64) {
		ctx, call := current(instance)
		err := call.Check()
		if err == nil {
			err = run(ctx, Guest{Call: call, Memory: Memory{module.Memory()}}, stack)
		}
		if parked := CallFrom(instance).parking; parked != nil {
			if exit, ended := errors.AsType[*ExitError](err); ended {
				parked.ends(exit)
			}
		}
		if err == nil {
			err = call.Check()
		}
		if err != nil {
			panic(err)
		}
	}
}

// provideFuel makes the function importable that rewritten guests call when their fuel
// has run out. It is called so often that it looks at the deadline once only.
func (r *Runtime) provideFuel(ctx context.Context) error {
	tick := api.GoFunc(func(ctx context.Context, stack []uint64) {
		_, call := current(ctx)
		if err := call.Check(); err != nil {
			panic(err)
		}
		stack[0] = wasm.Quantum
	})
	_, err := r.wazero.NewHostModuleBuilder(wasm.FuelModule).NewFunctionBuilder().
		WithGoFunction(tick, nil, I32(1)).
		Export(wasm.FuelFunction).
		Instantiate(ctx)
	if err != nil {
		return fmt.Errorf("provide fuel: %w", err)
	}
	return nil
}

// checkImports says what a module wants and the host does not provide, so that it fails
// when it is loaded and not at its first request.
func (r *Runtime) checkImports(compiled wazero.CompiledModule, imports []wasm.Import) error {
	for _, wanted := range imports {
		if wanted.Kind != wasm.KindFunction {
			return fmt.Errorf("module imports %v %s.%s, which the host does not provide", wanted.Kind, wanted.Module, wanted.Name)
		}
	}
	for _, wanted := range compiled.ImportedFunctions() {
		moduleName, name, _ := wanted.Import()
		module := r.wazero.Module(moduleName)
		if module == nil {
			return fmt.Errorf("module imports function %s.%s, which the host does not provide", moduleName, name)
		}
		provided, ok := module.ExportedFunctionDefinitions()[name]
		if !ok {
			return fmt.Errorf("module imports function %s.%s, which the host does not provide", moduleName, name)
		}
		if !slices.Equal(wanted.ParamTypes(), provided.ParamTypes()) || !slices.Equal(wanted.ResultTypes(), provided.ResultTypes()) {
			return fmt.Errorf("module imports function %s.%s with another signature than the host provides", moduleName, name)
		}
	}
	return nil
}
