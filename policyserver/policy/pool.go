package policy

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wapc"
)

// idleTime is after how long an instance that nobody needed is given up.
const idleTime = time.Minute

// checkEvery is after how many restores of an engine one is checked.
const checkEvery = 1000

// pool hands out instances of a template and puts them back to what it is after each call.
// Instances that were called for one trust domain are never called for another: should
// anything of a call survive after all, it stays where it came from.
type pool struct {
	engine   *Engine
	template *sandbox.Template

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

func newPool(engine *Engine, template *sandbox.Template) *pool {
	return &pool{engine: engine, template: template, shelves: map[string]*shelf{}}
}

func (p *pool) take(ctx context.Context, domain string, _ *host.Session) (*sandbox.Instance, error) {
	if instance := p.takeIdle(domain); instance != nil {
		return instance, nil
	}
	return p.template.Instantiate(ctx)
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
	if !answered(failed) || !p.restore(ctx, instance) || !p.putIdle(domain, instance) {
		return instance.Close(ctx)
	}
	return nil
}

// answered says whether a call came to its end in the guest, be it with an answer of no use.
func answered(failed error) bool {
	var reported *wapc.Error
	var nonsense *answerError
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

func (p *pool) bytes() int64 { return p.template.Bytes() }

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

// close gives everything back. No call runs and none will.
func (p *pool) close(ctx context.Context) error {
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
	return p.template.Close(ctx)
}
