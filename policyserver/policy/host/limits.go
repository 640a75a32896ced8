package host

import (
	"context"
	"errors"
	"fmt"
)

// Limits bound a host call, in bytes; 0 means the usual limit.
type Limits struct {
	// Payload is what a guest may send: 1 MiB usually.
	Payload int
	// Reply is what it may get: 32 MiB usually. A guest has to hold it, and what it makes of it.
	Reply int
}

// The usual limits, in bytes.
const (
	UsualPayload = 1 << 20
	UsualReply   = 32 << 20
)

func (l Limits) orUsual() Limits {
	if l.Payload <= 0 {
		l.Payload = UsualPayload
	}
	if l.Reply <= 0 {
		l.Reply = UsualReply
	}
	return l
}

func (l Limits) checkPayload(path string, payload []byte) error {
	if len(payload) > l.Payload {
		return RefusalError(fmt.Sprintf("the payload of host call '%s' has %d bytes, at most %d are allowed", path, len(payload), l.Payload))
	}
	return nil
}

func (l Limits) checkReply(path string, reply []byte) error {
	if len(reply) > l.Reply {
		return RefusalError(fmt.Sprintf("the reply to host call '%s' has %d bytes, at most %d are allowed", path, len(reply), l.Reply))
	}
	return nil
}

// checkTime refuses a call whose evaluation is over: the guest is ended as well, but a
// capability is not to begin, nor an answer to come, after that.
func checkTime(ctx context.Context, path string) error {
	switch {
	case ctx.Err() == nil:
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return RefusalError(fmt.Sprintf("host call '%s' was not served: the time for the evaluation is over", path))
	default:
		return RefusalError(fmt.Sprintf("host call '%s' was not served: the evaluation was canceled", path))
	}
}
