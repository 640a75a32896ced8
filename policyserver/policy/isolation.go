package policy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/metadata"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/snapshot"
)

// Isolation is how each call gets an instance of its own.
type Isolation string

const (
	// IsolationFresh makes an instance for each call. It works everywhere and is the measure
	// of what an answer has to be.
	IsolationFresh Isolation = "fresh"
	// IsolationPristine initialises a module once and puts instances back to what they were
	// then. Calls cannot tell it from IsolationFresh, except that what a guest read of clocks
	// and randomness while it was initialised stays the same. Modules that cannot be put
	// back are fresh, and all are where the system cannot do it.
	IsolationPristine Isolation = "pristine"
)

// openMemory opens what pristine instances need. It is nil where they are not wanted or not
// possible.
func openMemory(ctx context.Context, config Config) (*snapshot.System, error) {
	switch config.Isolation {
	case "", IsolationFresh:
		return nil, nil
	case IsolationPristine:
	default:
		return nil, fmt.Errorf("isolation %q is not known, want %q or %q", config.Isolation, IsolationFresh, IsolationPristine)
	}
	system, err := snapshot.Open()
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
func (e *Engine) instancesFor(ctx context.Context, mode metadata.ExecutionMode, guest guest, program *sandbox.Program) (instances, error) {
	made := fresh{program: program, guest: guest}
	if e.memory == nil || mode == metadata.ModeWASI {
		return made, nil
	}
	limited, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	limited, _ = e.runtime.Begin(limited)
	template, why := program.NewTemplate(limited, func(instance *sandbox.Instance) error {
		session := e.dispatcher.Session("", host.Grants{})
		if err := guest.init(limited, instance, session); err != nil {
			return err
		}
		if session.Called() {
			return errHostCalled
		}
		return nil
	})
	if why == nil {
		return newPool(e, template), nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e.logger.LogAttrs(ctx, slog.LevelInfo, "instances of a module are made afresh for each call", slog.String("reason", why.Error()))
	return made, nil
}
