package sandbox

import (
	"context"
	"errors"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/snapshot"
)

// Instance is a program with a memory of its own. It serves one goroutine at a time.
type Instance struct {
	program *Program
	module  api.Module
	// functions that the host has called, and those it has called for the guest. A function
	// has one stack, so that one that runs cannot be called.
	functions, nested callable

	linear *linearMemory

	// Of instances that can be restored.
	template *Template
	memory   *snapshot.Memory
	globals  []api.MutableGlobal

	// Of commands that are parked: no other instance has their template.
	parking *parking
	own     *Template
}

// Instantiate makes an instance and runs the module's start function, if it has one. The
// context is that of a Call. Errors are those of Invoke, or a *memory.OverError.
func (p *Program) Instantiate(ctx context.Context) (*Instance, error) {
	linear := &linearMemory{budget: p.runtime.budget, reclaim: p.runtime.reclaim, backing: onHeap}
	if p.runtime.memory != nil && p.startBytes() >= leastMapped {
		linear.backing, linear.mapped = experimental.MemoryAllocatorFunc(p.runtime.outsideOfHeap), true
	}
	return p.instantiateIn(ctx, linear)
}

// instantiateIn is Instantiate with a memory of the caller's choice.
func (p *Program) instantiateIn(ctx context.Context, linear *linearMemory) (*Instance, error) {
	if err := linear.take(p.startBytes()); err != nil {
		return nil, err
	}
	linear.call = CallFrom(ctx)
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions()
	module, err := p.runtime.wazero.InstantiateModule(experimental.WithMemoryAllocator(ctx, linear), p.compiled, config)
	if err != nil {
		linear.Free()
		return nil, failure(err)
	}
	return &Instance{
		program: p, module: module, linear: linear,
		functions: callable{known: map[string]function{}}, nested: callable{known: map[string]function{}},
	}, nil
}

// Program is what the instance was made from.
func (i *Instance) Program() *Program { return i.program }

// ToldTime says whether the instance was told what time it is when it was made, like
// Call.ToldTime.
func (i *Instance) ToldTime() bool { return i.template != nil && i.template.timed }

// callable are exported functions that were called before. They are kept, and their values
// handed over in the same place, so that a call allocates nothing.
type callable struct {
	known map[string]function
	stack [maxValues]uint64
}

// maxValues is how many parameters, and how many results, a function may have that the host
// calls.
const maxValues = 16

// function is one with the number of its parameters and results.
type function struct {
	api.Function

	params, results int
}

// Invoke calls an exported function. The context is that of a Call. The results are valid
// until the next call. The error is ErrDeadline, ErrCanceled, an *ExitError, a *ViolationError, a *TrapError or a *HostError.
func (i *Instance) Invoke(ctx context.Context, function string, args ...uint64) ([]uint64, error) {
	call := CallFrom(ctx)
	call.running, i.linear.call = i, call
	return i.invoke(ctx, &i.functions, function, args)
}

func (i *Instance) invoke(ctx context.Context, from *callable, name string, args []uint64) ([]uint64, error) {
	exported, known := from.known[name]
	if !known {
		found := i.module.ExportedFunction(name)
		if found == nil {
			return nil, Violationf("module exports no function %q", name)
		}
		definition := found.Definition()
		exported = function{found, len(definition.ParamTypes()), len(definition.ResultTypes())}
		from.known[name] = exported
	}
	if len(args) != exported.params || max(exported.params, exported.results) > maxValues {
		return nil, Violationf("function %q has %d parameters and %d results, and was called with %d", name, exported.params, exported.results, len(args))
	}
	copy(from.stack[:], args)
	if err := exported.CallWithStack(ctx, from.stack[:max(exported.params, exported.results)]); err != nil {
		return nil, failure(err)
	}
	return from.stack[:exported.results], nil
}

// Write copies content into the instance's memory.
func (i *Instance) Write(address uint32, content []byte) error {
	return i.Memory().Write(address, content)
}

// Memory is the instance's memory.
func (i *Instance) Memory() Memory { return Memory{i.module.Memory()} }

// Kept says whether the instance can be restored.
func (i *Instance) Kept() bool { return i.template != nil }

// Close gives back what the instance holds.
func (i *Instance) Close(ctx context.Context) error {
	if i.parking != nil {
		i.parking.close()
	}
	err := i.module.Close(ctx)
	if i.own != nil {
		err = errors.Join(err, i.own.Close(ctx))
	}
	return err
}
