package server

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// queue bounds the work: so many requests are evaluated at the same time, so many more
// may be read and wait for their turn, not longer than a while, and the others are sent
// away at once. An API server comes back when it is told to, so a short queue loses
// nothing, and a long one would only answer requests that nobody waits for any more.
//
// Audits come in hundreds at once, and nobody waits for them: they take at most half of the
// places, and their turn comes when no other request waits.
type queue struct {
	workers, places int
	wait            time.Duration

	mu sync.Mutex
	// inside are those that were let in, audits among them; working those that have a worker.
	inside, audits, working int
	waiting, waitingAudits  []chan struct{}
}

func newQueue(workers, waiting int, wait time.Duration) *queue {
	return &queue{workers: workers, places: workers + waiting, wait: wait}
}

// enter takes a place; false means that there is none.
func (q *queue) enter(audit bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.inside == q.places || audit && q.audits >= max(1, q.places/2) {
		return false
	}
	q.inside++
	if audit {
		q.audits++
	}
	return true
}

func (q *queue) leave(audit bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.inside--
	if audit {
		q.audits--
	}
}

var errNoWorker = errors.New("no worker came free in time")

// begin waits for a worker; done gives it back.
func (q *queue) begin(ctx context.Context, audit bool) error {
	turn, begun := q.line(audit)
	if begun {
		return nil
	}
	timer := time.NewTimer(q.wait)
	defer timer.Stop()
	select {
	case <-turn:
		return nil
	case <-timer.C:
		return q.giveUp(turn, errNoWorker)
	case <-ctx.Done():
		return q.giveUp(turn, ctx.Err())
	}
}

// line takes a worker that is free, or else a turn, which is closed when it has come.
func (q *queue) line(audit bool) (turn chan struct{}, begun bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.working < q.workers {
		q.working++
		return nil, true
	}
	turn = make(chan struct{})
	if audit {
		q.waitingAudits = append(q.waitingAudits, turn)
	} else {
		q.waiting = append(q.waiting, turn)
	}
	return turn, false
}

// giveUp ends the wait for a turn with an error, unless it has come at the same time.
func (q *queue) giveUp(turn chan struct{}, err error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, line := range []*[]chan struct{}{&q.waiting, &q.waitingAudits} {
		if at := slices.Index(*line, turn); at >= 0 {
			*line = slices.Delete(*line, at, at+1)
			return err
		}
	}
	return nil
}

func (q *queue) done() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, line := range []*[]chan struct{}{&q.waiting, &q.waitingAudits} {
		if len(*line) > 0 {
			close((*line)[0])
			*line = (*line)[1:]
			return
		}
	}
	q.working--
}

// yield gives a worker back, as done does, if a request waits for one that is no audit. It says
// whether it did.
func (q *queue) yield() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return false
	}
	close(q.waiting[0])
	q.waiting = q.waiting[1:]
	return true
}

// busy is how many were let in, and how many of them have a worker.
func (q *queue) busy() (inside, working int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.inside, q.working
}
