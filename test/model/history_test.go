//go:build integration

package model

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

const (
	// settling is how long everything may take to come to rest.
	settling = 90 * time.Second
	// rest is how long nothing may be written then.
	rest = 700 * time.Millisecond
)

// history is what happens in a world.
type history []operation

func (h history) String() string {
	steps := make([]string, 0, len(h))
	for _, step := range h {
		steps = append(steps, step.String())
	}
	return strings.Join(steps, " ")
}

func parseHistory(text string) (history, error) {
	var h history
	for word := range strings.FieldsSeq(text) {
		step, err := parseOperation(word)
		if err != nil {
			return nil, err
		}
		h = append(h, step)
	}
	return h, nil
}

// randomHistory makes the history of a seed. It begins with something to work on and ends
// with a pause.
func randomHistory(seed uint64, steps int) history {
	source := rand.New(rand.NewPCG(seed, 0))
	h := history{{"create-server", 0, 1}, {"create-server", 1, 0}}
	for place := range 4 {
		h = append(h, operation{"create-policy", place, source.IntN(24)})
	}
	names := slices.Sorted(maps.Keys(verbs))
	total := 0
	for _, name := range names {
		total += verbs[name].weight
	}
	for len(h) < steps-1 {
		at := source.IntN(total)
		for _, name := range names {
			if at -= verbs[name].weight; at < 0 {
				h = append(h, operation{name, source.IntN(policies), source.IntN(24)})
				break
			}
		}
	}
	return append(h, operation{verb: pause})
}

// breach is a broken invariant.
type breach struct {
	after   int // of how many operations it was found
	message string
}

func (b *breach) Error() string {
	return fmt.Sprintf("after %d operations: %s", b.after, b.message)
}

// play runs a history in a new world, and tells of its pauses. The error is a breach, or
// something else that kept the history from being run.
func play(ctx context.Context, h history, tell func(format string, args ...any)) (err error) {
	w, err := newWorld(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.discover(); err != nil {
		return err
	}
	for i, step := range h {
		if err := verbs[step.verb].do(ctx, w, step); err != nil {
			return fmt.Errorf("%s: %w", step, err)
		}
		if step.verb != pause {
			continue
		}
		begin := time.Now()
		complaint, err := w.settle(ctx)
		if err != nil {
			return fmt.Errorf("pause after %d operations: %w", i+1, err)
		}
		if complaint != "" {
			return &breach{i + 1, complaint}
		}
		tell("after %d operations: at rest within %s", i+1, time.Since(begin).Round(100*time.Millisecond))
	}
	return nil
}

// settle lets the operator run until everything is as it must be and stays so, and returns
// the last complaint when that takes too long.
func (w *world) settle(ctx context.Context) (string, error) {
	if err := w.startOperator(); err != nil {
		return "", err
	}
	complaint := ""
	for deadline := time.Now().Add(settling); time.Now().Before(deadline); {
		found, err := w.check(ctx)
		if err != nil {
			return "", err
		}
		if breaches := w.witness.seen(); len(breaches) > 0 {
			return breaches[0], nil
		}
		if found == nil {
			w.witness.pausing()
			return "", nil
		}
		complaint = found.Error()
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return "", fmt.Errorf("%w, when %s", err, complaint)
		}
	}
	return complaint, nil
}

// check checks all invariants, and that nothing is written for a while. The first result is
// what is not as it must be.
func (w *world) check(ctx context.Context) (complaint, err error) {
	v, err := w.look(ctx)
	if err != nil {
		return nil, err
	}
	for _, check := range []func() error{
		func() error { return v.checkPolicies(w) },
		func() error { return v.checkServers(ctx, w) },
		func() error { return checkOwners(ctx, w) },
	} {
		if complaint := check(); complaint != nil {
			return complaint, nil
		}
	}
	before, err := w.resourceVersions(ctx)
	if err != nil {
		return nil, err
	}
	if err := wait(ctx, rest); err != nil {
		return nil, err
	}
	after, err := w.resourceVersions(ctx)
	if err != nil {
		return nil, err
	}
	return compare(before, after), nil
}
