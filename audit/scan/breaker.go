package scan

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// A policy server that cannot be reached is not waited for once per object: after some
// questions in a row without any answer, further ones fail at once. Every while one
// question is let through, and an answer lets all through again.
//
//	closed --breakAfter questions unanswered--> open --probeAfter--> one question
//	   ^                                          ^                       |
//	   +------------------ answered --------------|-----------------------+
//	                                              +------ unanswered -----+
const (
	breakAfter = 20
	probeAfter = 10 * time.Second
)

// breaker watches one policy server.
type breaker struct {
	now func() time.Time

	mu         sync.Mutex
	unanswered int
	last       error
	probeAt    time.Time
}

// refuses is the error of a question that is not put, or nil.
func (b *breaker) refuses() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.unanswered < breakAfter {
		return nil
	}
	if now := b.now(); !now.Before(b.probeAt) {
		b.probeAt = now.Add(probeAfter)
		return nil
	}
	return fmt.Errorf("the policy server does not answer: %w", b.last)
}

// record takes the end of a question that was put. Any answer counts as one, also one that
// is an error.
func (b *breaker) record(err error) {
	passing, is := errors.AsType[*passingError](err)
	b.mu.Lock()
	defer b.mu.Unlock()
	if !is || !passing.unreachable {
		b.unanswered = 0
		return
	}
	b.unanswered++
	b.last = passing.err
	if b.unanswered >= breakAfter {
		b.probeAt = b.now().Add(probeAfter)
	}
}
