package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/kubewarden/kubewarden-operator/test/bench/floor"
)

// grace is how long a server may take for a change to reach every request: what is promised
// for a policy of which the module is at hand.
const grace = 5 * time.Second

// slot is a policy ID whose policy changes, comes and goes, and what may be answered when.
type slot struct {
	id string
	// variants are what the policy can be; one without a module is no policy.
	variants []fixture
	requests []slotRequest

	mu sync.Mutex
	// history are the changes that an answer may still depend on; the last is what is now.
	history []change
}

// slotRequest is a request and, for each variant, its outcome.
type slotRequest struct {
	review review
	want   []outcome
}

// change is the time from which a variant was wanted.
type change struct {
	at      time.Time
	variant int
}

// newSlot makes a slot that is of its first variant since ever. The requests are those of
// all variants.
func newSlot(id string, variants ...fixture) (*slot, error) {
	made := &slot{id: id, variants: variants, history: []change{{}}}
	known := map[review]bool{}
	for _, variant := range variants {
		for _, of := range variant.cases {
			if known[of.review] {
				continue
			}
			known[of.review] = true
			next := slotRequest{review: of.review}
			for _, other := range variants {
				want, err := other.outcomeOf(of.review)
				if err != nil {
					return nil, fmt.Errorf("policy %s: %w", id, err)
				}
				next.want = append(next.want, want)
			}
			made.requests = append(made.requests, next)
		}
	}
	return made, nil
}

// outcomeOf is what a policy says to a request.
func (f fixture) outcomeOf(about review) (outcome, error) {
	if f.module == "" {
		return notFound, nil
	}
	for _, of := range f.cases {
		if of.review == about {
			return of.want, nil
		}
	}
	return outcome{}, fmt.Errorf("no variant may know a request that %s with settings %v has no verdict about", f.module, f.settings)
}

// turn makes the slot's next variant the wanted one.
func (s *slot) turn(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.history) > 1 && now.Sub(s.history[1].at) > grace+floor.RequestTimeout {
		s.history = s.history[1:]
	}
	s.history = append(s.history, change{now, (s.history[len(s.history)-1].variant + 1) % len(s.variants)})
}

// now is the policy as it is wanted, and whether there is one.
func (s *slot) now() (fixture, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	current := s.variants[s.history[len(s.history)-1].variant]
	return current, current.module != ""
}

// possible gives the outcomes of a request that was sent and answered at these times. It is
// only one when the last change was long enough before.
func (s *slot) possible(request slotRequest, sent, answered time.Time) []outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	var outcomes []outcome
	for i, from := range s.history {
		replaced := i+1 < len(s.history) && sent.Sub(s.history[i+1].at) > grace
		if !replaced && !from.at.After(answered) {
			outcomes = append(outcomes, request.want[from.variant])
		}
	}
	for _, variant := range s.variants {
		if len(outcomes) > 1 && variant.module == "" { // it comes or goes
			return append(outcomes, beingLoaded)
		}
	}
	return outcomes
}
