package server

import (
	"context"
	"errors"
	"time"
)

// queue bounds the work: so many requests are evaluated at the same time, so many more
// may be read and wait for their turn, not longer than a while, and the others are sent
// away at once. An API server comes back when it is told to, so a short queue loses
// nothing, and a long one would only answer requests that nobody waits for any more.
type queue struct {
	places  chan struct{} // of everybody who was let in
	workers chan struct{}
	wait    time.Duration
}

func newQueue(workers, waiting int, wait time.Duration) *queue {
	return &queue{places: make(chan struct{}, workers+waiting), workers: make(chan struct{}, workers), wait: wait}
}

// enter takes a place; false means that there is none.
func (q *queue) enter() bool {
	select {
	case q.places <- struct{}{}:
		return true
	default:
		return false
	}
}

func (q *queue) leave() { <-q.places }

var errNoWorker = errors.New("no worker came free in time")

// begin waits for a worker; done gives it back.
func (q *queue) begin(ctx context.Context) error {
	select {
	case q.workers <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(q.wait)
	defer timer.Stop()
	select {
	case q.workers <- struct{}{}:
		return nil
	case <-timer.C:
		return errNoWorker
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (q *queue) done() { <-q.workers }
