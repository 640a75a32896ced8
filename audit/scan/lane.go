package scan

import (
	"context"
	"sync"
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
		one = &lane{places: make(chan struct{}, l.width), breaker: &breaker{now: l.now}}
		l.all[base] = one
	}
	return one
}

// lane bounds the questions that are put to a policy server at once.
type lane struct {
	places  chan struct{}
	breaker *breaker
}

func (l *lane) enter(ctx context.Context) error {
	select {
	case l.places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *lane) leave() { <-l.places }
