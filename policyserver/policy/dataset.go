package policy

import (
	"context"
	"errors"
	"log/slog"

	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/rego"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
)

// dataset is one version of the data of a module, with instances that have read it: most of
// a call's time goes into that where the data is large.
type dataset struct {
	engine *Engine
	data   data
	// built is closed when the following are known and do not change any more.
	built chan struct{}
	pool  *pool // nil: there can be no such instances
	known rego.Data
	// users are calls, and whoever builds it. After the last of them, once it was closed,
	// everything is given back.
	users *users
}

func newDataset(engine *Engine, of data) *dataset {
	made := &dataset{engine: engine, data: of, built: make(chan struct{})}
	made.users = newUsers(made.giveBack)
	return made
}

// errRefused says that a document is too large for the memory that a guest may have.
var errRefused = errors.New("policy was refused memory for its data")

// build makes a first instance and has it read the data.
func (d *dataset) build(module *Module, reader reader, program *sandbox.Program) error {
	limited, cancel := context.WithTimeout(context.Background(), d.engine.patience)
	defer cancel()
	ctx, call := d.engine.runtime.Begin(limited)
	template, err := program.NewTemplate(ctx, memory.Guests, func(instance *sandbox.Instance) error {
		session := d.engine.dispatcher.Session(host.Policy{})
		if err := reader.init(ctx, instance, session); err != nil {
			return err
		}
		text, err := reader.text(d.data)
		if err != nil {
			return err
		}
		if d.known, err = reader.read(ctx, instance, session, text); err != nil {
			return err
		}
		switch {
		case session.Called():
			return errHostCalled
		case call.Refused() != nil:
			return errors.Join(errRefused, call.Refused())
		}
		return nil
	})
	if err != nil {
		return err
	}
	d.pool = newPool(d.engine, template, fresh{program: program, guest: module.guest, made: &d.engine.counts.fresh})
	return nil
}

// ready waits until the dataset is built and begins a use of it. It answers false when the
// caller has to do without; the error is that of a call.
func (d *dataset) ready(ctx context.Context) (bool, error) {
	select {
	case <-d.built:
	case <-ctx.Done():
		return false, over(ctx)
	}
	return d.pool != nil && d.users.enter(), nil
}

// isBuilt says whether there is nothing to wait for.
func (d *dataset) isBuilt() bool {
	select {
	case <-d.built:
		return true
	default:
		return false
	}
}

func (d *dataset) giveBack() {
	if d.pool == nil {
		return
	}
	ctx := context.Background()
	if err := d.pool.close(ctx); err != nil {
		d.engine.logger.LogAttrs(ctx, slog.LevelError, "close data of a policy", slog.String("error", err.Error()))
	}
}
