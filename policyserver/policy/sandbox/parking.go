package sandbox

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasm"
)

// commandStart runs a command.
const commandStart = "_start"

// parking is an instance of a command that has run up to where it reads its standard input
// and stands still there, inside of an imported function. Each call goes on from there; when
// the command ends, it stands still again, and its stack is put back for the next call.
//
//	starting -> waiting -> running -> finished -> (rewound) -> running -> ...
//	                          |
//	                          +-> dead: by a trap or a deadline
//
// The command runs in a coroutine, which has the context of no call: what belongs to a call
// is in here while it lasts.
type parking struct {
	stage stage
	next  func() (error, bool)
	stop  func()
	yield func(error) bool
	// rewind is the stack at the place where the command reads. It can be used once.
	rewind experimental.Snapshot
	// stdout and stderr are what the command wrote before it read.
	stdout, stderr []byte

	// The call that runs now, if there is one.
	ctx  context.Context //nolint:containedctx // see above
	call *Call
}

type stage int

const (
	starting stage = iota
	waiting
	running
	finished
	rewound
	dead
)

// errStopped ends a command that stands still and is not needed any more.
var errStopped = errors.New("command is not needed any more")

// errNeverRead says why a command cannot be parked.
var errNeverRead = errors.New("command ended before it read its standard input")

// Park makes an instance of a command and runs it until it is about to read its standard
// input. The context is that of a Call with the command's arguments. Besides those of
// Instance.Invoke, an error says why the command cannot be parked.
func (p *Program) Park(ctx context.Context) (*Instance, error) {
	if err := p.restorable(); err != nil {
		return nil, err
	}
	instance, err := p.instantiate(ctx)
	if err != nil {
		return nil, err
	}
	if err := instance.park(ctx); err != nil {
		return nil, errors.Join(err, instance.Close(ctx))
	}
	return instance, nil
}

func (i *Instance) park(ctx context.Context) error {
	parked := &parking{}
	i.parking = parked
	parked.next, parked.stop = iter.Pull(func(yield func(error) bool) {
		parked.yield = yield
		own := context.WithValue(context.Background(), callKey{}, &Call{parking: parked})
		_, err := i.invoke(experimental.WithSnapshotter(own), &i.functions, commandStart, nil)
		if parked.stage != dead { // by stop, after which there must be no yield
			parked.stage = dead
			yield(err)
		}
	})
	if err := parked.visit(ctx); err != nil {
		return err
	}
	if parked.stage != waiting {
		return errNeverRead
	}
	call := CallFrom(ctx)
	parked.stdout, parked.stderr = call.Stdout.content, call.Stderr.content
	template, err := i.keep(memory.Guests)
	if err != nil {
		return err
	}
	template.timed = call.timed
	i.own = template
	return i.become(template)
}

// visit has the command go on for a call until it stands still again or is dead.
func (p *parking) visit(ctx context.Context) error {
	p.ctx, p.call = ctx, CallFrom(ctx)
	defer func() { p.ctx, p.call = nil, nil }()
	err, alive := p.next()
	if !alive {
		return &HostError{Err: errors.New("command that has ended was to go on")}
	}
	return err
}

// Parked says whether the instance is that of a command that is parked.
func (i *Instance) Parked() bool { return i.parking != nil }

// Resume has a parked command answer a call. The context is that of a Call. The error is
// one of Invoke; an *ExitError is how a command ends, and so is nil.
func (i *Instance) Resume(ctx context.Context) error {
	if stage := i.parking.stage; stage != waiting && stage != finished {
		return &HostError{Err: fmt.Errorf("command at stage %d was to go on", stage)}
	}
	call := CallFrom(ctx)
	call.running, i.linear.call = i, call
	call.Stdout.Write(i.parking.stdout)
	call.Stderr.Write(i.parking.stderr)
	return i.parking.visit(ctx)
}

// close ends the coroutine. Whoever closes an instance to make room may be locked to a thread,
// of which the coroutine is not: it ends on a goroutine that is not either.
func (p *parking) close() {
	p.stage = dead
	var ended sync.WaitGroup
	ended.Go(p.stop)
	ended.Wait()
}

// stand has the command stand still until the next visit.
func (p *parking) stand(err error) {
	if !p.yield(err) {
		panic(errStopped)
	}
}

// reads is called when the command is about to read.
func (p *parking) reads(ctx context.Context) {
	switch p.stage {
	case starting:
		p.rewind = experimental.GetSnapshotter(ctx).Snapshot()
		p.stage = waiting
		p.stand(nil)
		p.stage = running
	case rewound:
		p.rewind = experimental.GetSnapshotter(ctx).Snapshot()
		p.stage = running
	default: // it reads on
	}
}

// again is what reads is called once more after: the stack is that of the first time.
const again = 1

// ends is called when the command ends. It does not return.
func (p *parking) ends(exit *ExitError) {
	if p.stage != running {
		panic(exit)
	}
	p.stage = finished
	p.stand(exit)
	p.stage = rewound
	p.rewind.Restore([]uint64{again})
}

// providePark makes the function importable that rewritten commands call.
func (r *Runtime) providePark(ctx context.Context) error {
	park := api.GoFunc(func(ctx context.Context, stack []uint64) {
		parked := CallFrom(ctx).parking
		why := uint32(stack[0])
		stack[0] = 0
		switch {
		case parked == nil: // a command that runs once
		case why == wasm.ParkEnded:
			parked.ends(&ExitError{})
		default:
			parked.reads(ctx)
		}
	})
	_, err := r.wazero.NewHostModuleBuilder(wasm.ParkModule).NewFunctionBuilder().
		WithGoFunction(park, I32(1), I32(1)).
		Export(wasm.ParkFunction).
		Instantiate(ctx)
	if err != nil {
		return fmt.Errorf("provide parking: %w", err)
	}
	return nil
}
