package scan

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// lanes has one lane per policy server.
type lanes struct {
	width int
	now   func() time.Time

	mu  sync.Mutex
	all map[string]*lane
}

func newLanes(width int, now func() time.Time) *lanes {
	return &lanes{width: width, now: now, all: map[string]*lane{}}
}

func (l *lanes) of(base string) *lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	one, known := l.all[base]
	if !known {
		one = &lane{most: float64(l.width), width: float64(l.width), now: l.now, breaker: &breaker{now: l.now}}
		l.all[base] = one
	}
	return one
}

// narrowEvery is how often a lane narrows at most: a server that sends many away at once has
// said one thing.
const narrowEvery = time.Second

// lane bounds the questions that are put to a policy server at once. It becomes half as wide
// when the server has no room, which API servers may then miss as well, and wider again by one
// each time that so many questions as it is wide have been answered.
type lane struct {
	most    float64
	now     func() time.Time
	breaker *breaker
	// apart says that the server does not know how to be asked about several policies at once.
	apart atomic.Bool

	mu       sync.Mutex
	width    float64
	inside   int
	waiting  []waiter
	narrowed time.Time
}

// waiter waits for as many places as it has questions.
type waiter struct {
	turn   chan struct{}
	places int
}

// enter waits for places, behind those who came before. A request with more questions than the
// lane is wide gets the whole lane.
func (l *lane) enter(ctx context.Context, places int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	if l.free(places) && len(l.waiting) == 0 {
		l.inside += places
		l.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	l.waiting = append(l.waiting, waiter{turn, places})
	l.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		l.giveUp(turn, places)
		return ctx.Err()
	}
}

// giveUp ends the wait for a turn, which may have come at the same time.
func (l *lane) giveUp(turn chan struct{}, places int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at := slices.IndexFunc(l.waiting, func(w waiter) bool { return w.turn == turn }); at >= 0 {
		l.waiting = slices.Delete(l.waiting, at, at+1)
	} else {
		l.inside -= places
	}
	l.admit()
}

func (l *lane) leave(places int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inside -= places
	l.admit()
}

// free says whether there is room for so many; there always is for somebody alone.
func (l *lane) free(places int) bool { return l.inside == 0 || l.inside+places <= int(l.width) }

func (l *lane) admit() {
	for len(l.waiting) > 0 && l.free(l.waiting[0].places) {
		l.inside += l.waiting[0].places
		close(l.waiting[0].turn)
		l.waiting = l.waiting[1:]
	}
}

// answered takes note that the server had time for a question.
func (l *lane) answered() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.width = min(l.most, l.width+1/l.width)
	l.admit()
}

// sentAway takes note that it had none.
func (l *lane) sentAway() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.now(); now.Sub(l.narrowed) >= narrowEvery {
		l.narrowed = now
		l.width = max(1, l.width/2)
	}
}
