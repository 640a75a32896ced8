package policy

import (
	"context"
	"errors"
	"log/slog"
	"runtime"

	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wapc"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasi"
)

// checkEvery is after how many restores of an engine one is checked.
const checkEvery = 1000

// pool hands out instances of a maker and puts them back after each call.
// Instances that were called for one trust domain are never called for another: should
// anything of a call survive after all, it stays where it came from.
type pool struct {
	engine *Engine
	maker  maker
	fresh  fresh // for when no instance can be made that can be put back
	// isolation says what instances are put back to.
	isolation Isolation

	// shelves hold what is idle, by trust domain. They are the stock's to guard.
	shelves map[string]*shelf
	closed  bool
}

var _ instances = (*pool)(nil)

func newPool(engine *Engine, maker maker, fresh fresh) *pool {
	made := &pool{engine: engine, maker: maker, fresh: fresh, isolation: IsolationPristine, shelves: map[string]*shelf{}}
	engine.stock.add(made)
	return made
}

func (p *pool) take(ctx context.Context, domain string, session *host.Session) (*sandbox.Instance, error) {
	instance, err := p.takeKept(ctx, domain)
	if err != nil {
		return p.takeFresh(ctx, domain, session, err)
	}
	return instance, nil
}

// takeKept hands out an instance that can be put back.
func (p *pool) takeKept(ctx context.Context, domain string) (*sandbox.Instance, error) {
	instance := p.engine.stock.take(p, domain)
	if instance == nil {
		var err error
		if instance, err = p.maker.Instantiate(ctx); err != nil {
			return nil, err
		}
		p.engine.counts.made.Add(1)
	}
	if err := instance.Wake(ctx); err != nil {
		return nil, errors.Join(err, instance.Close(ctx))
	}
	p.engine.counts.takenOf(p.isolation).Add(1)
	return instance, nil
}

// takeFresh makes an instance for one call where none can be made that can be put back.
func (p *pool) takeFresh(ctx context.Context, domain string, session *host.Session, why error) (*sandbox.Instance, error) {
	var over *memory.OverError
	if errors.Is(why, sandbox.ErrDeadline) || errors.Is(why, sandbox.ErrCanceled) || errors.As(why, &over) {
		return nil, why
	}
	p.engine.logger.LogAttrs(ctx, slog.LevelWarn, "instance of a policy is made for one call only", slog.String("reason", why.Error()))
	return p.fresh.take(ctx, domain, session)
}

// give restores the instance. One that cannot be restored is given up, which is no error
// of the call that it has answered.
func (p *pool) give(ctx context.Context, domain string, instance *sandbox.Instance, failed error) error {
	if !instance.Kept() || !answered(failed) || !p.restore(ctx, instance) {
		return instance.Close(ctx)
	}
	surplus, kept := p.engine.stock.put(p, domain, instance)
	p.engine.giveUp(surplus)
	if !kept {
		return instance.Close(ctx)
	}
	return nil
}

// answered says whether a call came to its end in the guest, be it with an answer of no use.
func answered(failed error) bool {
	return failed == nil || answeredBy(failed)
}

func answeredBy(failed error) bool {
	var reported *wapc.Error
	var nonsense *answerError
	if command, is := errors.AsType[*wasi.CommandError](failed); is {
		_, exited := errors.AsType[*sandbox.ExitError](command)
		return exited
	}
	return errors.As(failed, &reported) || errors.As(failed, &nonsense)
}

func (p *pool) restore(ctx context.Context, instance *sandbox.Instance) bool {
	restored, err := instance.Restore(ctx)
	if errors.Is(err, sandbox.ErrMemoryLimit) {
		return false
	}
	p.engine.counts.pages.Add(uint64(restored.Pages))
	if err == nil {
		nth := p.engine.counts.restores.Add(1)
		if checkAlways || nth%checkEvery == 0 {
			if err = instance.Check(); err != nil {
				p.engine.memory.Distrust(err)
			}
		}
	}
	if err != nil {
		p.engine.counts.failed.Add(1)
		p.engine.logger.LogAttrs(ctx, slog.LevelError, "instance of a policy could not be put back and is given up",
			slog.String("error", err.Error()))
	}
	return err == nil
}

func (p *pool) bytes() int64 { return p.maker.Bytes() }

// close gives everything back. No call runs and none will. It may be called again.
func (p *pool) close(ctx context.Context) error {
	p.engine.giveUp(p.engine.stock.remove(p))
	return p.maker.Close(ctx)
}

// giveUp closes idle instances.
func (e *Engine) giveUp(unneeded []*sandbox.Instance) {
	ctx := context.Background()
	for _, instance := range unneeded {
		if err := instance.Close(ctx); err != nil {
			e.logger.LogAttrs(ctx, slog.LevelError, "close idle instance of a policy", slog.String("error", err.Error()))
		}
	}
}

// reclaim gives up some of what is idle, for a guest that needs memory, and after that data
// that nobody uses. It says whether there was anything.
func (e *Engine) reclaim() bool {
	oldest := e.stock.oldest()
	if len(oldest) == 0 {
		return e.datasets.reclaim()
	}
	e.counts.reclaimed.Add(uint64(len(oldest)))
	e.giveUp(oldest)
	return true
}

// mostIdle bounds the idle instances of an engine where Config does not.
func mostIdle() int { return max(256, 64*runtime.GOMAXPROCS(0)) }
