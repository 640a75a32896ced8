package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/kubewarden/kubewarden-operator/test/bench/floor"
)

// turn is how long one side is asked before it is the other's turn, so that what else the
// machine does meets both.
const turn = time.Second

// side is who is asked: the server, or the floor.
type side struct {
	// prefix begins the names of its phases.
	prefix string
	at     *server
	client *floor.Client
	aim    *fixed
	// full is as fast as it can, half at half of the server's rate.
	full, half stretch
}

// stretch is a phase in turns, and the processor's time that it took.
type stretch struct {
	*phase

	spent processorTime
}

func newSide(prefix string, at *server, fixtures []fixture) *side {
	asks := floor.NewClient(at.api, at.roots)
	return &side{
		prefix: prefix, at: at, client: asks, aim: newFixed(asks, fixtures),
		full: stretch{phase: newPhase()}, half: stretch{phase: newPhase()},
	}
}

// measureLoad finds how fast the server is, and the latencies at half of that, both beside
// the floor.
func (c config) measureLoad(ctx context.Context, at *server, into *result, log io.Writer) (err error) {
	without, err := startFloor(ctx, at.dir, log)
	if err != nil {
		return fmt.Errorf("start the floor: %w", err)
	}
	defer func() { err = errors.Join(err, without.stop()) }()
	ours, theirs := newSide("", at, c.fixtures()), newSide("floor-", without, withoutPolicies(c.fixtures()))
	defer ours.client.Close()
	defer theirs.client.Close()
	into.ReviewBytes = len(ours.aim.cases[0].review.body("load-0"))
	for _, one := range []*side{theirs, ours} {
		if err := one.aim.warmUp(ctx); err != nil {
			return err
		}
	}
	before, err := scrape(ctx, at.metrics)
	if err != nil {
		return err
	}
	if err := c.inTurns(ctx, into, theirs, ours); err != nil {
		return err
	}
	summary := into.Phases["half"]
	into.RPS, into.P50, into.P95, into.P99 = rounded(ours.full.rate()), summary.P50, summary.P95, summary.P99
	resident, err := at.rss()
	if err != nil {
		return err
	}
	into.RSS = megabytes(resident)
	after, err := scrape(ctx, at.metrics)
	if err != nil {
		return err
	}
	into.check(after.since(before), ours.full.phase, ours.half.phase)
	return nil
}

// inTurns asks both as fast as they can, then both at half of the server's rate.
func (c config) inTurns(ctx context.Context, into *result, theirs, ours *side) error {
	both := turns{sides: []*side{theirs, ours}, duration: c.duration}
	err := both.take(ctx, func(of *side) *stretch { return &of.full }, func(of *side, duration time.Duration) *phase {
		return loop{of.aim, c.concurrency, duration}.closed(ctx)
	})
	if err != nil {
		return err
	}
	if ours.full.rate() == 0 || theirs.full.rate() == 0 {
		return fmt.Errorf("no request was answered as it should: %v", append(ours.full.examples, theirs.full.examples...))
	}
	rate := ours.full.rate() / 2
	err = both.take(ctx, func(of *side) *stretch { return &of.half }, func(of *side, duration time.Duration) *phase {
		return loop{of.aim, openClients, duration}.open(ctx, rate)
	})
	if err != nil {
		return err
	}
	for _, one := range both.sides {
		into.add(one.prefix+"full", one.full.phase, 0)
		into.add(one.prefix+"half", one.half.phase, rate)
		into.spend(one.prefix+"full", one.full)
		into.spend(one.prefix+"half", one.half)
	}
	return nil
}

// turns are of sides that are asked for a duration each.
type turns struct {
	sides    []*side
	duration time.Duration
}

// take asks the sides in turns, and adds up what is seen in a stretch of each.
func (t turns) take(ctx context.Context, into func(*side) *stretch, ask func(*side, time.Duration) *phase) error {
	for left := t.duration; left > 0; left -= turn {
		for _, one := range t.sides {
			before, err := one.at.processorTime()
			if err != nil {
				return err
			}
			into(one).follow(ask(one, min(left, turn)))
			if ctx.Err() != nil {
				return ctx.Err()
			}
			after, err := one.at.processorTime()
			if err != nil {
				return err
			}
			into(one).spent.add(before, after)
		}
	}
	for _, one := range t.sides {
		slices.Sort(into(one).latencies)
	}
	return nil
}
