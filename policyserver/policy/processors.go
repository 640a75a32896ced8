package policy

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
)

// processors are what guests run on. Go cannot take a processor from a guest, only wait until
// it is done: while guests have all of them, nobody looks at the network, and answers that
// are ready wait as well.
type processors struct {
	free    chan struct{} // holds one for each that is free; nil when guests may have all
	waiting atomic.Int64
}

// newProcessors are n, 0 for as many as guests want.
func newProcessors(n int) *processors {
	if n == 0 {
		return &processors{}
	}
	made := &processors{free: make(chan struct{}, n)}
	for range n {
		made.free <- struct{}{}
	}
	return made
}

// take waits for a processor. The context is that of a Call; the error is ErrDeadline or
// ErrCanceled of the sandbox.
func (p *processors) take(ctx context.Context) error {
	if p.free == nil {
		return nil
	}
	select {
	case <-p.free:
		return nil
	default:
	}
	p.waiting.Add(1)
	defer p.waiting.Add(-1)
	select {
	case <-p.free:
		return nil
	case <-ctx.Done():
		return over(ctx)
	}
}

func (p *processors) give() {
	if p.free != nil {
		p.free <- struct{}{}
	}
}

// over is why a call must not go on whose context is done.
func over(ctx context.Context) error {
	if err := sandbox.CallFrom(ctx).Check(); err != nil {
		return err
	}
	return sandbox.ErrDeadline
}

// turn is what a call has of the processors.
type turn struct {
	of   *processors
	call *sandbox.Call
	held bool
}

var _ host.Waiter = (*turn)(nil)

// Waits gives the processor back, and the thread, while the guest waits for the host.
func (t *turn) Waits() {
	t.call.Leave()
	if t.held {
		t.held = false
		t.of.give()
	}
}

// GoesOn waits for a processor again. A call that gets none is over, which it is told by
// whoever looks at its deadline next.
func (t *turn) GoesOn(ctx context.Context) { t.held = t.of.take(ctx) == nil }

// turns are some that are over, so that a call need not make one.
var turns = sync.Pool{New: func() any { return new(turn) }}

// onProcessor runs a guest for a session as soon as there is a processor for it.
func (m *Module) onProcessor(ctx context.Context, session *host.Session, run func() error) error {
	if err := m.engine.processors.take(ctx); err != nil {
		return err
	}
	on, _ := turns.Get().(*turn)
	*on = turn{of: m.engine.processors, held: true, call: sandbox.CallFrom(ctx)}
	if m.settles() {
		on.call.Settle()
	}
	session.WaitBy(on)
	defer func() {
		session.WaitBy(nil)
		on.Waits()
		*on = turn{}
		turns.Put(on)
	}()
	return run()
}

// settles says whether calls stay on a thread while their guest runs: where instances are put
// back, unless a guest may stand still and go on in another call.
func (m *Module) settles() bool {
	_, parks := m.guest.(wasiGuest)
	return m.engine.memory != nil && !parks
}
