//go:build integration

package model

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

// shrinking is how long a history is shortened at most.
const shrinking = 10 * time.Minute

// A short life in which everything happens once.
func TestFixedHistory(t *testing.T) {
	h, err := parseHistory(`
		create-server/0/1 create-policy/0/0 create-policy/3/3 pause/0/0
		settings/0/1 rules/3/2 pause/0/0
		settings/0/3 pause/0/0
		restart/0/0 mutating/0/0 pause/0/0
		settings/0/2 cut/0/0 pause/0/0
		kill/0/0 mutating/3/0 delete-webhook/0/0 cut/0/1 pause/0/0
		scale-server/0/0 pause/0/0
		scale-server/0/2 damage-child/0/0 damage-webhook/3/0 pause/0/0
		delete-policy/3/0 delete-server/0/0 pause/0/0`)
	if err != nil {
		t.Fatal(err)
	}
	if err := play(bounded(t), h, t.Logf); err != nil {
		t.Fatal(err)
	}
}

// Random histories: MODEL_SEEDS of them, from MODEL_SEED on, of MODEL_STEPS operations, or
// the one of MODEL_HISTORY.
func TestRandomHistories(t *testing.T) {
	if text := os.Getenv("MODEL_HISTORY"); text != "" {
		h, err := parseHistory(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := play(bounded(t), h, t.Logf); err != nil {
			t.Fatal(err)
		}
		return
	}
	first, count, steps := number(t, "MODEL_SEED", 1), number(t, "MODEL_SEEDS", 1), number(t, "MODEL_STEPS", 100)
	for seed := first; seed < first+count; seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			h := randomHistory(uint64(seed), steps)
			err := play(bounded(t), h, t.Logf)
			var found *breach
			switch {
			case errors.As(err, &found):
				explain(t, h[:found.after], err)
			case err != nil:
				t.Fatal(err)
			}
		})
	}
}

// bounded ends early enough for the cluster to be taken down before the test is.
func bounded(t *testing.T) context.Context {
	t.Helper()
	deadline, ok := t.Deadline()
	if !ok {
		return t.Context()
	}
	ctx, cancel := context.WithDeadline(t.Context(), deadline.Add(-20*time.Second))
	t.Cleanup(cancel)
	return ctx
}

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	value, err := strconv.Atoi(text)
	if err != nil || value < 1 {
		t.Fatalf("%s is %q, want a number from 1 on", name, text)
	}
	return value
}

// explain shortens a history that broke something, and prints what is left.
func explain(t *testing.T, h history, cause error) {
	t.Helper()
	t.Errorf("%v\nthe whole history: %s", cause, h)
	end := time.Now().Add(shrinking)
	if deadline, ok := t.Deadline(); ok && deadline.Add(-time.Minute).Before(end) {
		end = deadline.Add(-time.Minute)
	}
	ctx, cancel := context.WithDeadline(t.Context(), end)
	defer cancel()
	breaks := func(h history) bool {
		err := play(ctx, h, t.Logf)
		_, broken := errors.AsType[*breach](err)
		if broken {
			cause = err
		}
		return broken
	}
	shortest := shrink(h, breaks, func() bool { return ctx.Err() == nil })
	t.Errorf("%v\nthe shortest history found: MODEL_HISTORY=%q", cause, shortest)
}
