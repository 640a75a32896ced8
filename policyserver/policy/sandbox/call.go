package sandbox

import (
	"context"
	"errors"
	"runtime"
	"time"
)

// ErrDeadline says that a call's deadline has passed.
var ErrDeadline = errors.New("deadline exceeded")

// ErrCanceled says that whoever made a call has given it up.
var ErrCanceled = errors.New("call canceled")

// Call is the state of one call into a guest, from the making of its instance to its
// answer. It serves one goroutine.
type Call struct {
	// Args are the guest's arguments, the name of its program first.
	Args []string
	// Stdin is what the guest reads from its standard input.
	Stdin []byte
	// Stdout and Stderr are what it wrote.
	Stdout, Stderr Stream
	// Protocol is the state of the protocol that the guest speaks.
	Protocol any

	now      func() time.Time
	deadline time.Time // zero: none
	done     <-chan struct{}
	finished func() error // why done is closed
	refused  error        // why the guest got no more memory
	timed    bool         // the guest was told what time it is
	calling  bool         // an imported function is calling the guest
	settled  bool         // it stays on its thread
	running  *Instance    // that is called; nil while it is made
	parking  *parking     // of a command that is parked: the call is in there
}

type callKey struct{}

// Begin begins a call. Its deadline is that of ctx, and it ends early when ctx is done.
// The context that is returned is for everything that happens during the call.
func (r *Runtime) Begin(ctx context.Context) (context.Context, *Call) {
	call := &Call{
		Stdout:   NewStream(maxStreamBytes),
		Stderr:   NewStream(maxStreamBytes),
		now:      r.now,
		done:     ctx.Done(),
		finished: ctx.Err,
	}
	call.deadline, _ = ctx.Deadline()
	return context.WithValue(ctx, callKey{}, call), call
}

// CallFrom is the call that a context belongs to, or nil.
func CallFrom(ctx context.Context) *Call {
	call, _ := ctx.Value(callKey{}).(*Call)
	return call
}

// current is the call that an imported function serves, and its context.
func current(ctx context.Context) (context.Context, *Call) {
	call := CallFrom(ctx)
	if call.parking != nil {
		return call.parking.ctx, call.parking.call
	}
	return ctx, call
}

// Now is the current time by the clock that the deadline is measured with.
func (c *Call) Now() time.Time { return c.now() }

// TellTime is to be called when the guest is told what time it is, or anything that
// follows from that.
func (c *Call) TellTime() { c.timed = true }

// ToldTime says whether the guest was told: what it answers may then change by the hour.
func (c *Call) ToldTime() bool { return c.timed }

// Settle keeps the call on the thread that it is on until it leaves, which makes it cheap to put
// an instance back: see snapshot.Memory. A command that is parked must not be called meanwhile:
// its coroutine is of no thread.
func (c *Call) Settle() {
	runtime.LockOSThread()
	c.settled = true
}

// Leave lets a call that was settled change its thread again.
func (c *Call) Leave() {
	if c.settled {
		c.settled = false
		runtime.UnlockOSThread()
	}
}

// Deadline is when the call must have ended; ok is false when it may take for ever.
func (c *Call) Deadline() (deadline time.Time, ok bool) {
	return c.deadline, !c.deadline.IsZero()
}

// Refused is why the guest's memory could not grow, a *memory.OverError; nil when it could.
// What the guest made of that is another matter.
func (c *Call) Refused() error { return c.refused }

// Check returns ErrDeadline or ErrCanceled when the call must not go on.
func (c *Call) Check() error {
	if !c.deadline.IsZero() && !c.now().Before(c.deadline) {
		return ErrDeadline
	}
	select {
	case <-c.done:
		if errors.Is(c.finished(), context.DeadlineExceeded) {
			return ErrDeadline
		}
		return ErrCanceled
	default:
		return nil
	}
}

// maxStreamBytes bounds what is kept of a guest's output unless it is wanted for more than
// a log.
const maxStreamBytes = 64 << 10

// Stream keeps the beginning of what a guest writes and forgets the rest.
type Stream struct {
	content []byte
	limit   int
	cut     bool
}

// NewStream is an empty stream that keeps that many bytes.
func NewStream(limit int) Stream { return Stream{limit: limit} }

// Write never fails: a guest cannot know that nobody reads on.
func (s *Stream) Write(content []byte) {
	kept := content[:min(len(content), s.limit-len(s.content))]
	s.content = append(s.content, kept...)
	s.cut = s.cut || len(kept) < len(content)
}

// Bytes are what was kept; cut says that there was more.
func (s *Stream) Bytes() (content []byte, cut bool) { return s.content, s.cut }

// String is what was kept.
func (s *Stream) String() string { return string(s.content) }
