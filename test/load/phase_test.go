package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for name, tc := range map[string]struct {
		sorted  []time.Duration
		percent float64
		want    time.Duration
	}{
		"of nothing":               {nil, 99, 0},
		"of one value":             {[]time.Duration{7}, 50, 7},
		"the median of two":        {[]time.Duration{1, 2}, 50, 1},
		"the median of three":      {[]time.Duration{1, 2, 3}, 50, 2},
		"of a hundred":             {hundred, 95, 95},
		"between two of a hundred": {hundred, 99.5, 100},
		"all":                      {hundred, 100, 100},
		"none":                     {hundred, 0, 1},
		"of a thousand":            {slices.Repeat(hundred[:1], 1000), 99.9, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := percentile(tc.sorted, tc.percent); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

// slow takes a second for each request, and fails for every fifth.
type slow struct{ under, most atomic.Int64 }

var errFifth = errors.New("a fifth request")

func (s *slow) ask(_ context.Context, number int64) (asked, error) {
	under := s.under.Add(1)
	defer s.under.Add(-1)
	for most := s.most.Load(); under > most && !s.most.CompareAndSwap(most, under); most = s.most.Load() {
	}
	time.Sleep(time.Second)
	if number%5 == 0 {
		return asked{"slow", 500}, errFifth
	}
	return asked{"slow", 200}, nil
}

func TestClosedLoopWaitsForAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at slow
		got := loop{&at, 4, 10 * time.Second}.closed(t.Context())
		if got.took != 10*time.Second || len(got.latencies) != 32 || got.errors != 8 || at.most.Load() != 4 {
			t.Errorf("took %s, %d right answers, %d errors, %d at the same time; want 10s, 32, 8, 4", got.took, len(got.latencies), got.errors, at.most.Load())
		}
		if want := map[asked]int64{{"slow", 200}: 32, {"slow", 500}: 8}; !maps.Equal(got.answered, want) {
			t.Errorf("answered %v, want %v", got.answered, want)
		}
		if len(got.examples) != 8 || got.rate() != 3.2 {
			t.Errorf("%d examples, rate %g; want 8, 3.2", len(got.examples), got.rate())
		}
	})
}

func TestOpenLoopSendsWhenRequestsAreDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at slow
		got := loop{&at, 100, 10 * time.Second}.open(t.Context(), 10)
		if len(got.latencies) != 80 || got.errors != 20 || at.most.Load() < 10 || at.most.Load() > 11 {
			t.Errorf("%d right answers, %d errors, %d at the same time; want 80, 20, 10", len(got.latencies), got.errors, at.most.Load())
		}
		if most := percentile(got.latencies, 100); most != time.Second {
			t.Errorf("the slowest took %s, want 1s", most)
		}
	})
}

// A server that cannot keep up is not spared: a request that could not be sent in time has
// waited, too.
func TestOpenLoopCountsFromWhenARequestWasDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := loop{new(slow), 1, 3 * time.Second}.open(t.Context(), 2)
		// Due at 0, 0.5, 1, 1.5, 2.5 (the one at 2 fails); sent at 0, 1, 2, 3, 5.
		want := []time.Duration{time.Second, 1500 * time.Millisecond, 2 * time.Second, 2500 * time.Millisecond, 3500 * time.Millisecond}
		if !slices.Equal(got.latencies, want) {
			t.Errorf("got %v, want %v", got.latencies, want)
		}
	})
}

func TestAnEndedPhaseCountsNoErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 4500*time.Millisecond)
		defer cancel()
		if got := (loop{new(slow), 1, time.Hour}).closed(ctx); len(got.latencies) != 4 || got.errors != 0 {
			t.Errorf("%d right answers, %d errors; want 4, 0", len(got.latencies), got.errors)
		}
	})
}
