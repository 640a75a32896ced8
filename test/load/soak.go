package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/kubewarden/kubewarden-operator/test/bench/floor"
)

// soakMemory bounds the memory of a server in a soak, in bytes.
const soakMemory = 512 << 20

// changeEvery is the time between changes of policies.yml, and between looks at the memory.
const changeEvery = time.Second

// churn is a set of policies that changes all the time.
type churn struct {
	dir, modules string
	slots        []*slot
	client       *floor.Client
	server       *server
	// broken says that the policy brokenID has settings that cannot be: it is enforced as it
	// was before. missing says that there is a policy without a module; nobody asks it.
	broken, missing bool
	steps           []step
}

// step is one kind of change; each returns its name.
type step func(now time.Time) string

const (
	brokenID  = "clusterwide-load-broken"
	missingID = "clusterwide-load-missing"
)

// brokenFixture is the policy that is broken now and then.
func (c config) brokenFixture() fixture { return requiredLabels(brokenID, c.policies, 0) }

// visitors are the policies that come and go. They are there at the beginning: a module that
// was never compiled before takes longer than what grace says.
func (c config) visitors() []fixture {
	return []fixture{requiredLabels("clusterwide-load-guest", c.policies+1, 0), dropCapabilities("clusterwide-load-stranger")}
}

// newChurn makes the set. The policies of the load are always there; their settings
// alternate where that changes a verdict. Others come and go, one of them with a module that
// no other policy uses, so that it is compiled and closed each time.
func newChurn(c config, dir string) (*churn, error) {
	set := &churn{dir: dir, modules: c.modules}
	var err error
	add := func(id string, variants ...fixture) *slot {
		made, failed := newSlot(id, variants...)
		err = errors.Join(err, failed)
		set.slots = append(set.slots, made)
		return made
	}
	for number := range c.policies {
		first, second := newFixture(number, 0), newFixture(number, 1)
		made := add(first.id, first, second)
		if first.changes() {
			set.steps = append(set.steps, func(now time.Time) string { made.turn(now); return "settings" })
		}
	}
	add(brokenID, c.brokenFixture())
	for _, visitor := range c.visitors() {
		made := add(visitor.id, visitor, fixture{id: visitor.id})
		set.steps = append(set.steps, func(now time.Time) string { made.turn(now); return "comes or goes" })
	}
	set.steps = append(set.steps,
		func(time.Time) string { set.broken = !set.broken; return "broken or mended" },
		func(time.Time) string { set.missing = !set.missing; return "module missing or not wanted" },
		nil, // a file that cannot be read; the step after it mends that
	)
	return set, err
}

// write writes policies.yml as it is wanted now.
func (c *churn) write() error {
	var fixtures []fixture
	for _, slot := range c.slots {
		current, there := slot.now()
		if slot.id == brokenID && c.broken {
			current.settings = map[string]any{"mandatory_labels": []string{"not the key of a label"}}
		}
		if there {
			fixtures = append(fixtures, current)
		}
	}
	if c.missing {
		fixtures = append(fixtures, fixture{id: missingID, module: "there-is-no-such-module", settings: map[string]any{}})
	}
	return writePolicies(c.dir, c.modules, fixtures)
}

// change makes the change of a number and says of which kind it is.
func (c *churn) change(number int, now time.Time) (string, error) {
	next := c.steps[number%len(c.steps)]
	if next == nil {
		path := filepath.Join(c.dir, "policies.yml")
		if err := os.WriteFile(path+".next", []byte("{this is: [no YAML\n"), 0o600); err != nil {
			return "", fmt.Errorf("write policies: %w", err)
		}
		return "unreadable", os.Rename(path+".next", path)
	}
	// Wanted before it is written: the server may be faster than we are.
	kind := next(now)
	return kind, c.write()
}

// ask asks the policies in turn.
func (c *churn) ask(ctx context.Context, number int64) (asked, error) {
	count := int64(len(c.slots))
	slot := c.slots[number%count]
	request := slot.requests[number/count%int64(len(slot.requests))]
	sent := time.Now()
	got, err := c.client.Ask(ctx, request.review.path+slot.id, request.review.body)
	if err != nil {
		return asked{id: slot.id}, err
	}
	if possible := slot.possible(request, sent, time.Now()); !isOneOf(got, possible...) {
		err = fmt.Errorf("wrong verdict of %s: got %+v, want one of %+v", slot.id, got, possible)
	}
	return asked{slot.id, got.Status}, err
}

// run changes the policies until ctx is done, and looks at the memory each time.
func (c *churn) run(ctx context.Context) (samples []int64, changes map[string]int, err error) {
	changes = map[string]int{}
	ticker := time.NewTicker(changeEvery)
	defer ticker.Stop()
	for number := 0; ; number++ {
		select {
		case <-ctx.Done():
			return samples, changes, nil
		case now := <-ticker.C:
			resident, err := c.server.rss()
			if err != nil {
				return samples, changes, err
			}
			samples = append(samples, resident)
			kind, err := c.change(number, now)
			if err != nil {
				return samples, changes, err
			}
			changes[kind]++
		}
	}
}

// cycle is the time after which everything is as it was: what comes in one round of steps
// goes in the next.
func (c *churn) cycle() time.Duration { return 2 * time.Duration(len(c.steps)) * changeEvery }

// measureSoak finds how fast the server is, and then watches it at half of that while its
// policies change.
func (c config) measureSoak(ctx context.Context, at *server, into *result, _ io.Writer) error {
	asks := floor.NewClient(at.api, at.roots)
	defer asks.Close()
	set, err := newChurn(c, at.dir)
	if err != nil {
		return err
	}
	set.client, set.server = asks, at
	aim := newFixed(asks, c.fixtures())
	into.ReviewBytes = len(aim.cases[0].review.body("load-0"))
	if err := aim.warmUp(ctx); err != nil {
		return err
	}
	before, err := scrape(ctx, at.metrics)
	if err != nil {
		return err
	}
	full := loop{aim, c.concurrency, min(c.duration/5, 20*time.Second)}.closed(ctx)
	into.RPS = rounded(full.rate())
	into.add("full", full, 0)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case full.rate() == 0:
		return fmt.Errorf("no request was answered as it should: %v", full.examples)
	}
	half := c.soakAt(ctx, full.rate()/2, set, into)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	after, err := scrape(ctx, at.metrics)
	if err != nil {
		return err
	}
	into.check(after.since(before).of(set), full, half)
	return nil
}

// soakAt lets the policies change under a rate.
func (c config) soakAt(ctx context.Context, rate float64, set *churn, into *result) *phase {
	changing, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan struct{})
	var samples []int64
	var failed error
	go func() {
		defer close(done)
		samples, into.Changes, failed = set.run(changing)
	}()
	half := loop{set, openClients, c.duration}.open(ctx, rate)
	stop()
	<-done
	into.fail(failed)
	into.add("half", half, rate)
	summary := into.Phases["half"]
	into.P50, into.P95, into.P99 = summary.P50, summary.P95, summary.P99
	memory, err := summarizeMemory(samples)
	if err != nil {
		into.fail(err)
		return half
	}
	if !c.noCgroup {
		memory.Limit = megabytes(soakMemory)
	}
	into.RSS, into.Memory = memory.LastFifth, &memory
	memory.TooShort = c.duration < 5*set.cycle()
	if !memory.Flat && !memory.TooShort {
		into.fail(fmt.Errorf("memory is not flat: %.1f MB in the second fifth, %.1f MB in the last", memory.SecondFifth, memory.LastFifth))
	}
	return half
}

// of leaves out the evaluations of policies that come and go: with a policy the server
// forgets what it counted for it.
func (c counters) of(set *churn) counters {
	c.evaluations, c.forgotten = maps.Clone(c.evaluations), map[string]bool{}
	for _, slot := range set.slots {
		for _, variant := range slot.variants {
			if variant.module == "" {
				c.forgotten[slot.id] = true
				delete(c.evaluations, slot.id)
			}
		}
	}
	return c
}
