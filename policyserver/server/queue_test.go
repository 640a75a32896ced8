package server

import (
	"context"
	"errors"
	"testing"
	"time"
)

// inside is how many requests the handler has let in, working how many of them have a worker.
func inside(h *Handler) int {
	inside, _ := h.queue.busy()
	return inside
}

func working(h *Handler) int {
	_, working := h.queue.busy()
	return working
}

func anybody(h *Handler) bool { return inside(h) != 0 || working(h) != 0 }

func TestAuditsTakeHalfOfThePlaces(t *testing.T) {
	q := newQueue(2, 6, time.Hour)
	for range 4 {
		if !q.enter(true) {
			t.Fatal("half of the places are for audits")
		}
	}
	if q.enter(true) {
		t.Error("a fifth audit of eight places was let in")
	}
	for range 4 {
		if !q.enter(false) {
			t.Fatal("the other half is not theirs")
		}
	}
	if q.enter(false) {
		t.Error("nine were let in to eight places")
	}
	q.leave(true)
	if !q.enter(false) {
		t.Error("a place that an audit left is anybody's")
	}
	if newQueue(1, 0, time.Hour).enter(true) == false {
		t.Error("where there is one place, an audit may have it")
	}
}

func TestAuditsBeginWhenNobodyElseWaits(t *testing.T) {
	q := newQueue(1, 8, time.Hour)
	if err := q.begin(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	order := make([]bool, 0, 4)
	begun := make(chan bool)
	for i, audit := range []bool{true, true, false, false} {
		go func() {
			if err := q.begin(t.Context(), audit); err != nil {
				t.Error(err)
			}
			begun <- audit
		}()
		waitFor(t, func() bool {
			q.mu.Lock()
			defer q.mu.Unlock()
			return len(q.waiting)+len(q.waitingAudits) == i+1
		})
	}
	for range 4 {
		q.done()
		order = append(order, <-begun)
	}
	if order[0] || order[1] || !order[2] || !order[3] {
		t.Errorf("audits began in this order: %v; want them last", order)
	}
	q.done()
	if _, working := q.busy(); working != 0 {
		t.Errorf("%d work after all are done", working)
	}
}

func TestWhoGivesUpInTheQueueTakesNoTurn(t *testing.T) {
	q := newQueue(1, 8, time.Millisecond)
	if err := q.begin(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if err := q.begin(t.Context(), false); !errors.Is(err, errNoWorker) {
		t.Errorf("error = %v, want %v", err, errNoWorker)
	}
	q.wait = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := q.begin(ctx, true); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want %v", err, context.Canceled)
	}
	turn, begun := q.line(false)
	if begun {
		t.Fatal("there were two workers")
	}
	q.done()
	if err := q.giveUp(turn, errNoWorker); err != nil {
		t.Errorf("error = %v; the turn had come", err)
	}
	q.done()
	if _, working := q.busy(); working != 0 || len(q.waiting)+len(q.waitingAudits) != 0 {
		t.Errorf("%d work and %d wait after all are done", working, len(q.waiting)+len(q.waitingAudits))
	}
}
