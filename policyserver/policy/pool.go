package policy

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wapc"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasi"
)

// idleTime is after how long an instance that nobody needed is given up.
const idleTime = time.Minute

// checkEvery is after how many restores of an engine one is checked.
const checkEvery = 1000

// pool hands out instances of a maker and puts them back after each call.
// Instances that were called for one trust domain are never called for another: should
// anything of a call survive after all, it stays where it came from.
type pool struct {
	engine *Engine
	maker  maker
	fresh  fresh // for when no instance can be made that can be put back

	mutex   sync.Mutex
	shelves map[string]*shelf // by trust domain
	sweeper *time.Timer       // runs while anything is idle
	closed  bool
}

var _ instances = (*pool)(nil)

// shelf holds idle instances. The last one that was put there is the first to be taken, so
// that those at the bottom are the ones that are not needed.
type shelf struct {
	idle []*sandbox.Instance
	// least is how many there were at any time since the last sweep.
	least int
}

func newPool(engine *Engine, maker maker, fresh fresh) *pool {
	made := &pool{engine: engine, maker: maker, fresh: fresh, shelves: map[string]*shelf{}}
	engine.pools.add(made)
	return made
}

func (p *pool) take(ctx context.Context, domain string, session *host.Session) (*sandbox.Instance, error) {
	if instance := p.takeIdle(domain); instance != nil {
		return instance, nil
	}
	instance, err := p.maker.Instantiate(ctx)
	var over *memory.OverError
	if err == nil || errors.Is(err, sandbox.ErrDeadline) || errors.Is(err, sandbox.ErrCanceled) || errors.As(err, &over) {
		return instance, err
	}
	p.engine.logger.LogAttrs(ctx, slog.LevelWarn, "instance of a policy is made for one call only", slog.String("reason", err.Error()))
	return p.fresh.take(ctx, domain, session)
}

func (p *pool) takeIdle(domain string) *sandbox.Instance {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	shelf := p.shelves[domain]
	if shelf == nil || len(shelf.idle) == 0 {
		return nil
	}
	last := len(shelf.idle) - 1
	instance := shelf.idle[last]
	shelf.idle[last] = nil
	shelf.idle = shelf.idle[:last]
	shelf.least = min(shelf.least, last)
	return instance
}

// give restores the instance. One that cannot be restored is given up, which is no error
// of the call that it has answered.
func (p *pool) give(ctx context.Context, domain string, instance *sandbox.Instance, failed error) error {
	if !instance.Kept() || !answered(failed) || !p.restore(ctx, instance) || !p.putIdle(domain, instance) {
		return instance.Close(ctx)
	}
	return nil
}

// answered says whether a call came to its end in the guest, be it with an answer of no use.
func answered(failed error) bool {
	var reported *wapc.Error
	var nonsense *answerError
	if command, is := errors.AsType[*wasi.CommandError](failed); is {
		_, exited := errors.AsType[*sandbox.ExitError](command)
		return exited
	}
	return failed == nil || errors.As(failed, &reported) || errors.As(failed, &nonsense)
}

func (p *pool) restore(ctx context.Context, instance *sandbox.Instance) bool {
	_, err := instance.Restore()
	if errors.Is(err, sandbox.ErrMemoryLimit) {
		return false
	}
	if err == nil && (checkAlways || p.engine.restores.Add(1)%checkEvery == 0) {
		if err = instance.Check(); err != nil {
			p.engine.memory.Distrust(err)
		}
	}
	if err != nil {
		p.engine.logger.LogAttrs(ctx, slog.LevelError, "instance of a policy could not be put back and is given up",
			slog.String("error", err.Error()))
	}
	return err == nil
}

// putIdle answers false when there are enough idle instances.
func (p *pool) putIdle(domain string, instance *sandbox.Instance) bool {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.closed {
		return false
	}
	if p.shelves[domain] == nil {
		p.shelves[domain] = &shelf{}
	}
	shelf := p.shelves[domain]
	if len(shelf.idle) >= runtime.GOMAXPROCS(0) {
		return false
	}
	shelf.idle = append(shelf.idle, instance)
	if p.sweeper == nil {
		p.sweeper = time.AfterFunc(idleTime, p.sweep)
	}
	return true
}

func (p *pool) bytes() int64 { return p.maker.Bytes() }

// sweep gives up the instances that were not needed since the last sweep.
func (p *pool) sweep() {
	p.mutex.Lock()
	var unneeded []*sandbox.Instance
	p.sweeper = nil
	for domain, shelf := range p.shelves {
		unneeded = append(unneeded, shelf.idle[:shelf.least]...)
		shelf.idle = append([]*sandbox.Instance(nil), shelf.idle[shelf.least:]...)
		shelf.least = len(shelf.idle)
		if shelf.least == 0 {
			delete(p.shelves, domain)
		}
	}
	if len(p.shelves) > 0 && !p.closed {
		p.sweeper = time.AfterFunc(idleTime, p.sweep)
	}
	p.mutex.Unlock()
	p.giveUp(unneeded)
}

func (p *pool) giveUp(unneeded []*sandbox.Instance) {
	ctx := context.Background()
	for _, instance := range unneeded {
		if err := instance.Close(ctx); err != nil {
			p.engine.logger.LogAttrs(ctx, slog.LevelError, "close idle instance of a policy", slog.String("error", err.Error()))
		}
	}
}

// close gives everything back. No call runs and none will. It may be called again.
func (p *pool) close(ctx context.Context) error {
	p.engine.pools.remove(p)
	p.mutex.Lock()
	p.closed = true
	if p.sweeper != nil {
		p.sweeper.Stop()
	}
	var all []*sandbox.Instance
	for _, shelf := range p.shelves {
		all = append(all, shelf.idle...)
	}
	p.shelves = nil
	p.mutex.Unlock()
	p.giveUp(all)
	return p.maker.Close(ctx)
}

// pools are those that are not closed.
type pools struct {
	mutex sync.Mutex
	open  map[*pool]struct{}
}

func (p *pools) add(added *pool) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.open == nil {
		p.open = map[*pool]struct{}{}
	}
	p.open[added] = struct{}{}
}

func (p *pools) remove(removed *pool) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	delete(p.open, removed)
}

// close closes those of modules that nobody has closed.
func (p *pools) close(ctx context.Context) error {
	p.mutex.Lock()
	left := slices.Collect(maps.Keys(p.open))
	p.mutex.Unlock()
	var err error
	for _, pool := range left {
		err = errors.Join(err, pool.close(ctx))
	}
	return err
}
