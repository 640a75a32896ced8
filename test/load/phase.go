package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kubewarden/kubewarden-operator/test/bench/floor"
)

// target is what a phase asks. The number of a request chooses what it is about.
type target interface {
	// ask sends one request and returns the policy it was for and the answer's status; an
	// error is a request that failed or a wrong answer.
	ask(ctx context.Context, number int64) (asked, error)
}

// asked is what became of a request.
type asked struct {
	id     string
	status int
}

// phase is what a phase has seen.
type phase struct {
	took time.Duration
	// latencies are of requests that were answered as they should.
	latencies []time.Duration
	// answered counts answers by policy and status, right ones and wrong ones.
	answered map[asked]int64
	errors   int64
	// examples are the first errors.
	examples []string
}

const maxExamples = 10

func newPhase() *phase { return &phase{answered: map[asked]int64{}} }

// follow adds what another has seen after it. The latencies are in no order then.
func (p *phase) follow(other *phase) {
	p.merge(other)
	p.took += other.took
}

// merge adds what another has seen in the same time.
func (p *phase) merge(other *phase) {
	p.latencies = append(p.latencies, other.latencies...)
	for key, count := range other.answered {
		p.answered[key] += count
	}
	p.errors += other.errors
	p.examples = append(p.examples, other.examples...)
	p.examples = p.examples[:min(len(p.examples), maxExamples)]
}

// note takes in what became of a request.
func (p *phase) note(got asked, err error, took time.Duration) {
	if got.status != 0 {
		p.answered[got]++
	}
	if err == nil {
		p.latencies = append(p.latencies, took)
		return
	}
	p.errors++
	if len(p.examples) < maxExamples {
		p.examples = append(p.examples, err.Error())
	}
}

// loop is how a phase asks: some clients, for a time.
type loop struct {
	at       target
	clients  int
	duration time.Duration
}

// closed lets each client ask as soon as it has its answer.
func (l loop) closed(ctx context.Context) *phase {
	var numbers atomic.Int64
	started := time.Now()
	return together(l.clients, started, func(seen *phase) {
		for ctx.Err() == nil && time.Since(started) < l.duration {
			sent := time.Now()
			got, err := l.at.ask(ctx, numbers.Add(1))
			if ctx.Err() == nil {
				seen.note(got, err, time.Since(sent))
			}
		}
	})
}

// open sends requests at a rate, in requests per second, whether others are answered or not,
// as long as there is a client that has nothing under way. Latency counts from when a
// request was due.
func (l loop) open(ctx context.Context, rate float64) *phase {
	var numbers atomic.Int64
	interval := float64(time.Second) / rate
	started := time.Now()
	return together(l.clients, started, func(seen *phase) {
		timer := time.NewTimer(0)
		defer timer.Stop()
		for {
			number := numbers.Add(1)
			due := started.Add(time.Duration(float64(number-1) * interval))
			if due.Sub(started) >= l.duration {
				return
			}
			timer.Reset(time.Until(due))
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
			got, err := l.at.ask(ctx, number)
			if ctx.Err() == nil {
				seen.note(got, err, time.Since(due))
			}
		}
	})
}

// together runs clients at the same time and adds up what they saw.
func together(clients int, started time.Time, run func(*phase)) *phase {
	seen := make([]*phase, clients)
	var running sync.WaitGroup
	for i := range seen {
		seen[i] = newPhase()
		running.Go(func() { run(seen[i]) })
	}
	running.Wait()
	all := newPhase()
	all.took = time.Since(started)
	for _, one := range seen {
		all.merge(one)
	}
	slices.Sort(all.latencies)
	return all
}

// rate is how many requests per second were answered as they should.
func (p *phase) rate() float64 {
	if p.took <= 0 {
		return 0
	}
	return float64(len(p.latencies)) / p.took.Seconds()
}

// percentile is the least of sorted values that at least percent of all do not exceed; 0
// when there are none.
func percentile(sorted []time.Duration, percent float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	// The nearest rank: percentages like 99.9 are not exact in binary, hence the small step down.
	rank := int(percent/100*float64(len(sorted)) - 1e-9)
	return sorted[min(max(rank, 0), len(sorted)-1)]
}

// fixed asks policies that do not change.
type fixed struct {
	client *floor.Client
	cases  []fixedCase
}

type fixedCase struct {
	id string
	testCase
}

// newFixed takes the cases of all policies in turn, so that neighbours go to different policies.
func newFixed(asks *floor.Client, fixtures []fixture) *fixed {
	all := &fixed{client: asks}
	for round := 0; ; round++ {
		before := len(all.cases)
		for _, policy := range fixtures {
			if round < len(policy.cases) {
				all.cases = append(all.cases, fixedCase{policy.id, policy.cases[round]})
			}
		}
		if len(all.cases) == before {
			return all
		}
	}
}

func (f *fixed) ask(ctx context.Context, number int64) (asked, error) {
	next := f.cases[number%int64(len(f.cases))]
	got, err := f.client.Ask(ctx, next.review.path+next.id, next.review.body)
	if err != nil {
		return asked{id: next.id}, err
	}
	if !isOneOf(got, next.want) {
		err = fmt.Errorf("wrong verdict of %s: got %+v, want %+v", next.id, got, next.want)
	}
	return asked{next.id, got.Status}, err
}

// warmUp asks everything once, so that what is only done once is not measured.
func (f *fixed) warmUp(ctx context.Context) error {
	for number := range f.cases {
		if _, err := f.ask(ctx, int64(number)); err != nil {
			return err
		}
	}
	return nil
}
