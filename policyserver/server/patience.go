package server

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// errNobodyWaits ends the work for a request whose sender has stopped waiting.
var errNobodyWaits = errors.New("the sender of the request waits no longer")

// patience is how long the sender of a request waits for its answer: an API server adds
// ?timeout=10s, the webhook's timeoutSeconds, to each call. It is 0 where nothing readable
// is said.
func patience(request *http.Request) time.Duration {
	waits, err := time.ParseDuration(request.URL.Query().Get("timeout"))
	if err != nil {
		return 0
	}
	return max(waits, 0)
}

// whileWaitedFor is the context of a request from its first byte to its answer. It is
// canceled when the connection is gone or the sender's patience is at its end; it has no
// deadline, because a policy that is cut off by its sender has not taken too long: it is
// not to deny, and the failurePolicy of the webhook decides.
func whileWaitedFor(request *http.Request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(request.Context())
	waits := patience(request)
	if waits == 0 {
		return ctx, func() { cancel(context.Canceled) }
	}
	timer := time.AfterFunc(waits, func() { cancel(errNobodyWaits) })
	return ctx, func() {
		timer.Stop()
		cancel(context.Canceled)
	}
}
