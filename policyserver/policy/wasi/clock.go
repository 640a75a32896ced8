package wasi

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
)

// Clocks. The monotonic one counts from the same origin as the other: no guest may rely
// on where it begins.
const (
	clockRealtime  = 0
	clockMonotonic = 1
)

func clockResolution(_ context.Context, guest sandbox.Guest, args []uint64) (errno, error) {
	if uint32(args[0]) > clockMonotonic {
		return notSupp, nil
	}
	return written(guest.Memory.WriteUint64(uint32(args[1]), uint64(time.Microsecond)))
}

func clockTime(_ context.Context, guest sandbox.Guest, args []uint64) (errno, error) {
	if uint32(args[0]) > clockMonotonic {
		return notSupp, nil
	}
	// The monotonic clock is read by runtimes all the time, to measure with.
	if uint32(args[0]) == clockRealtime {
		guest.Call.TellTime()
	}
	return written(guest.Memory.WriteUint64(uint32(args[2]), uint64(guest.Call.Now().UnixNano())))
}

// randomChunk is how much randomness is made without a look at the deadline.
const randomChunk = 1 << 16

func random(_ context.Context, guest sandbox.Guest, args []uint64) (errno, error) {
	buffer, err := guest.Memory.View(uint32(args[0]), uint32(args[1]))
	if err != nil {
		return fault, nil
	}
	for len(buffer) > 0 {
		n := min(len(buffer), randomChunk)
		if _, err := rand.Read(buffer[:n]); err != nil {
			return success, fmt.Errorf("read randomness: %w", err)
		}
		buffer = buffer[n:]
		if err := guest.Call.Check(); err != nil {
			return success, err
		}
	}
	return success, nil
}

// Layout of poll_oneoff.
const (
	subscriptionSize = 48
	eventSize        = 32
	maxSubscriptions = 1024

	tagClock = 0
	tagRead  = 1
	tagWrite = 2

	flagAbsolute = 1
)

// event is what a subscription has come to.
type event struct {
	userData uint64
	tag      byte
	code     errno
	wait     time.Duration // until it happens
}

// poll waits for the first of its subscriptions. Streams are always ready, so that only
// clocks are ever waited for, and never beyond the deadline.
func poll(ctx context.Context, guest sandbox.Guest, args []uint64) (errno, error) {
	n := uint32(args[2])
	if n == 0 || n > maxSubscriptions {
		return invalid, nil
	}
	subscriptions, err := guest.Memory.View(uint32(args[0]), n*subscriptionSize)
	if err != nil {
		return fault, nil
	}
	events := make([]event, 0, n)
	for ; len(subscriptions) > 0; subscriptions = subscriptions[subscriptionSize:] {
		events = append(events, subscribe(guest.Call.Now(), subscriptions))
	}
	first := events[0].wait
	for _, e := range events {
		first = min(first, e.wait)
	}
	if err := wait(ctx, guest.Call, first); err != nil {
		return success, err
	}
	return report(guest.Memory, uint32(args[1]), uint32(args[3]), happened(events, first))
}

func subscribe(now time.Time, subscription []byte) event {
	e := event{userData: binary.LittleEndian.Uint64(subscription), tag: subscription[8]}
	subject := binary.LittleEndian.Uint32(subscription[16:])
	switch e.tag {
	case tagClock:
		if subject > clockMonotonic {
			e.code = notSupp
			return e
		}
		timeout := binary.LittleEndian.Uint64(subscription[24:])
		if binary.LittleEndian.Uint16(subscription[40:])&flagAbsolute != 0 {
			timeout -= min(timeout, uint64(now.UnixNano()))
		}
		const longest = time.Duration(1<<63 - 1)
		e.wait = time.Duration(min(timeout, uint64(longest)))
	case tagRead, tagWrite:
		if subject > stderr {
			e.code = badFD
		}
	default:
		e.code = invalid
	}
	return e
}

// wait lets time pass, but ends when the call must.
func wait(ctx context.Context, call *sandbox.Call, duration time.Duration) error {
	if duration <= 0 {
		return nil
	}
	late := false
	if deadline, limited := call.Deadline(); limited {
		if left := deadline.Sub(call.Now()); left < duration {
			duration, late = max(left, 0), true
		}
	}
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
		if late {
			return sandbox.ErrDeadline
		}
		return nil
	case <-ctx.Done():
		if err := call.Check(); err != nil {
			return err
		}
		return sandbox.ErrCanceled
	}
}

func happened(events []event, first time.Duration) []event {
	ready := events[:0]
	for _, e := range events {
		if e.wait <= first {
			ready = append(ready, e)
		}
	}
	return ready
}

func report(memory sandbox.Memory, address, count uint32, events []event) (errno, error) {
	out := make([]byte, len(events)*eventSize)
	for i, e := range events {
		entry := out[i*eventSize:]
		binary.LittleEndian.PutUint64(entry, e.userData)
		binary.LittleEndian.PutUint16(entry[8:], uint16(e.code))
		entry[10] = e.tag
	}
	if memory.Write(address, out) != nil {
		return fault, nil
	}
	return written(memory.WriteUint32(count, uint32(len(events))))
}
