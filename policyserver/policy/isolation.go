package policy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/snapshot"
)

// Isolation is how each call gets an instance of its own.
type Isolation string

const (
	// IsolationFresh makes an instance for each call. It works everywhere and is the measure
	// of what an answer has to be. It costs ten to a hundred times what putting one back does.
	IsolationFresh Isolation = "fresh"
	// IsolationPristine is the default. It initialises a module once and puts instances back
	// to what they were then. Calls cannot tell it from IsolationFresh, except that what a guest read of clocks
	// and randomness while it was initialised stays the same. Modules that cannot be put
	// back are fresh, and all are where the system cannot do it.
	IsolationPristine Isolation = "pristine"
	// IsolationWarm is for single policies, see Module.Isolate: instances are put back to what
	// they were after some made-up requests. Calls can tell it from IsolationPristine, but
	// see nothing of each other.
	IsolationWarm Isolation = "warm"
)

// openMemory opens what pristine instances need. It is nil where they are not wanted or not
// possible.
func openMemory(ctx context.Context, config Config) (*snapshot.System, error) {
	switch config.Isolation {
	case IsolationFresh:
		return nil, nil
	case "", IsolationPristine:
	default:
		return nil, fmt.Errorf("isolation %q is not known, want %q or %q", config.Isolation, IsolationFresh, IsolationPristine)
	}
	open := config.Snapshots
	if open == nil {
		open = snapshot.Open
	}
	system, err := open()
	if err != nil {
		config.Logger.LogAttrs(ctx, slog.LevelWarn, "instances of policies are made afresh for each call: memory cannot be restored here",
			slog.String("error", err.Error()))
		return nil, nil
	}
	if method, why := system.Method(); method != snapshot.MethodPagemap {
		config.Logger.LogAttrs(ctx, slog.LevelWarn, "memory of policies is restored as a whole: it cannot be told what has changed",
			slog.String("error", why.Error()))
	}
	return system, nil
}

func closeMemory(system *snapshot.System) error {
	if system == nil {
		return nil
	}
	return system.Close()
}

// errHostCalled keeps a module fresh: what the host answers depends on the policy that asks
// and on the time.
var errHostCalled = errors.New("module calls the host while it is initialized")

// instancesFor decides how calls of a module get their instances. The error is that of the
// context.
func (e *Engine) instancesFor(ctx context.Context, guest guest, program *sandbox.Program) (instances, error) {
	made := fresh{program: program, guest: guest, made: &e.counts.fresh}
	if e.memory == nil {
		return made, nil
	}
	limited, cancel := context.WithTimeout(ctx, e.patience)
	defer cancel()
	maker, why := e.makerFor(limited, guest, program)
	if why == nil {
		return newPool(e, maker, made), nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e.logger.LogAttrs(ctx, slog.LevelInfo, "instances of a module are made afresh for each call", slog.String("reason", why.Error()))
	return made, nil
}

// settingsInstances are those for questions about settings. A command has its question as its
// argument, so that one that waits for a request cannot be asked another.
func (e *Engine) settingsInstances(guest guest, program *sandbox.Program, others instances) instances {
	if _, is := guest.(wasiGuest); is {
		return fresh{program: program, guest: guest, made: &e.counts.fresh}
	}
	return others
}

// maker makes instances that can be put back.
type maker interface {
	// Instantiate makes one. The context is that of a Call.
	Instantiate(ctx context.Context) (*sandbox.Instance, error)
	// Bytes is what all instances share.
	Bytes() int64
	// Close gives back what the maker holds; all of its instances were closed.
	Close(ctx context.Context) error
}

// makerFor tries whether instances of a program can be put back.
func (e *Engine) makerFor(ctx context.Context, guest guest, program *sandbox.Program) (maker, error) {
	if command, is := guest.(wasiGuest); is {
		return newParker(ctx, e, command, program)
	}
	ctx, _ = e.runtime.Begin(ctx)
	return program.NewTemplate(ctx, memory.Modules, func(instance *sandbox.Instance) error {
		session := e.dispatcher.Session(host.Policy{})
		if err := guest.init(ctx, instance, session); err != nil {
			return err
		}
		if session.Called() {
			return errHostCalled
		}
		return nil
	})
}

// parker makes instances of a command that stand still where they read a request.
type parker struct {
	engine  *Engine
	guest   wasiGuest
	program *sandbox.Program

	mutex sync.Mutex
	first *sandbox.Instance // made to see whether it can be done, until it is handed out
}

func newParker(ctx context.Context, engine *Engine, guest wasiGuest, program *sandbox.Program) (*parker, error) {
	made := &parker{engine: engine, guest: guest, program: program}
	first, err := made.Instantiate(ctx)
	if err != nil {
		return nil, err
	}
	made.first = first
	return made, nil
}

// Instantiate is that of maker.
func (p *parker) Instantiate(ctx context.Context) (*sandbox.Instance, error) {
	p.mutex.Lock()
	first := p.first
	p.first = nil
	p.mutex.Unlock()
	if first != nil {
		return first, nil
	}
	// What the command does until it reads is no part of the call that waits for it.
	ctx, _ = p.engine.runtime.Begin(ctx)
	session := p.engine.dispatcher.Session(host.Policy{})
	instance, err := p.guest.park(ctx, p.program, session)
	if err != nil {
		return nil, err
	}
	if session.Called() {
		return nil, errors.Join(errHostCalled, instance.Close(ctx))
	}
	return instance, nil
}

// Bytes is that of maker: each command that waits has an image of its own.
func (*parker) Bytes() int64 { return 0 }

// Close is that of maker.
func (p *parker) Close(ctx context.Context) error {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.first == nil {
		return nil
	}
	first := p.first
	p.first = nil
	return first.Close(ctx)
}
