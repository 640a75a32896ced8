package answers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// asked counts what was asked.
type asked struct{ count atomic.Int64 }

func (a *asked) answering(text string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) {
		a.count.Add(1)
		return []byte(text), nil
	}
}

// expected is an answer, and how many questions were asked until then.
type expected struct {
	key, text string
	count     int64
}

// want asks and compares.
func want(t *testing.T, c *Cache, a *asked, e expected) {
	t.Helper()
	got, err := c.Get(t.Context(), Question{e.key, "kw.cap.mine"}, a.answering(e.text))
	if err != nil || string(got) != e.text || a.count.Load() != e.count {
		t.Errorf("%s: got %q, %v after %d questions, want %q after %d", e.key, got, err, a.count.Load(), e.text, e.count)
	}
}

func TestCacheKeepsAnswersForATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a asked
		c := New(Config{TTL: time.Minute, Now: time.Now})
		want(t, c, &a, expected{"one", "1", 1})
		want(t, c, &a, expected{"one", "1", 1})
		want(t, c, &a, expected{"two", "2", 2})
		time.Sleep(time.Minute - time.Nanosecond)
		want(t, c, &a, expected{"one", "1", 2})
		time.Sleep(time.Nanosecond)
		want(t, c, &a, expected{"one", "1", 3})
		if len(c.kept) != 1 || c.oldest.Len() != 1 || c.bytes != len("one1") {
			t.Errorf("%d answers are kept in %d bytes, want one", len(c.kept), c.bytes)
		}
	})
}

func TestCacheWithoutTimeKeepsNothing(t *testing.T) {
	var a asked
	c := New(Config{Now: time.Now})
	want(t, c, &a, expected{"one", "1", 1})
	want(t, c, &a, expected{"one", "1", 2})
	if len(c.kept)+len(c.pending) != 0 {
		t.Errorf("%d answers and %d askers are left", len(c.kept), len(c.pending))
	}
}

func TestCacheIsBounded(t *testing.T) {
	for name, config := range map[string]Config{
		"by entries": {MaxEntries: 3},
		"by bytes":   {MaxBytes: 3*(len("0")+len("text")) + 1},
	} {
		t.Run(name, func(t *testing.T) {
			config.TTL, config.Now = time.Minute, time.Now
			c := New(config)
			var a asked
			for i := range 10 {
				want(t, c, &a, expected{fmt.Sprint(i), "text", int64(i + 1)})
			}
			if len(c.kept) != 3 || c.oldest.Len() != 3 {
				t.Fatalf("%d answers are kept, want 3", len(c.kept))
			}
			want(t, c, &a, expected{"7", "text", 10}) // the newest are
			want(t, c, &a, expected{"6", "text", 11})
		})
	}
	var a asked
	c := New(Config{TTL: time.Minute, MaxBytes: 100, Now: time.Now})
	want(t, c, &a, expected{"large", strings.Repeat("x", 200), 1})
	if len(c.kept) != 0 || c.bytes != 0 {
		t.Errorf("%d answers are kept in %d bytes, want none: it is larger than all together may be", len(c.kept), c.bytes)
	}
}

func TestCacheKeepsNoErrors(t *testing.T) {
	c := New(Config{TTL: time.Minute, Now: time.Now})
	for _, wanted := range []string{"first", "second"} {
		_, err := c.Get(t.Context(), Question{"one", "a"}, func(context.Context) ([]byte, error) { return nil, errors.New(wanted) })
		if err == nil || err.Error() != wanted {
			t.Errorf("got %v, want %s", err, wanted)
		}
	}
	_, err := c.Get(t.Context(), Question{"one", "a"}, func(context.Context) ([]byte, error) { panic("broken") })
	if err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("got %v, want the panic as an error", err)
	}
	var a asked
	want(t, c, &a, expected{"one", "1", 1})
	if len(c.pending) != 0 {
		t.Errorf("%d askers are left", len(c.pending))
	}
}

// Many ask the same at the same time, and one question is asked for all of them.
func TestCacheMergesQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{Now: time.Now})
		var a asked
		var asking sync.WaitGroup
		for i := range 50 {
			asking.Go(func() {
				got, err := c.Get(t.Context(), Question{"one", fmt.Sprint(i)}, func(context.Context) ([]byte, error) {
					a.count.Add(1)
					time.Sleep(time.Second)
					return []byte("1"), nil
				})
				if err != nil || string(got) != "1" {
					t.Errorf("got %q, %v", got, err)
				}
			})
		}
		asking.Wait()
		if got := a.count.Load(); got != 1 {
			t.Errorf("asked %d times, want once", got)
		}
	})
}

// Who does not wait leaves the others waiting, and finds the answer later.
func TestCacheFinishesWhatNobodyWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{TTL: time.Minute, Now: time.Now})
		var a asked
		hasty, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Get(hasty, Question{"one", "a"}, func(ctx context.Context) ([]byte, error) {
			a.count.Add(1)
			select {
			case <-time.After(3 * time.Second):
				return []byte("1"), nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want that the time is up", err)
		}
		time.Sleep(3 * time.Second)
		want(t, c, &a, expected{"one", "1", 1})

		_, err = c.Get(hasty, Question{"one", "a"}, a.answering("1"))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v from a context that is done, want that the time is up", err)
		}
	})
}

func TestCachePatienceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, began := New(Config{TTL: time.Minute, Patience: time.Second, Now: time.Now}), time.Now()
		_, err := c.Get(t.Context(), Question{"one", "a"}, func(ctx context.Context) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want that the time is up", err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("it took %s, want the patience of a second", took)
		}
	})
}

// One policy that asks for what never answers does not keep others from asking.
func TestCacheBoundsAskers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{MaxPending: 2, Now: time.Now})
		ended, end := context.WithCancel(t.Context())
		hang := func(ctx context.Context) ([]byte, error) {
			select {
			case <-ended.Done():
			case <-ctx.Done():
			}
			return nil, errors.New("ended")
		}
		hasty, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, key := range []string{"one", "two"} { // given up, and worked on still
			if _, err := c.Get(hasty, Question{key, "greedy"}, hang); err == nil {
				t.Error("got an answer of what hangs")
			}
			hasty = t.Context()
			hasty, cancel = context.WithTimeout(hasty, time.Second)
			defer cancel()
		}
		_, err := c.Get(t.Context(), Question{"three", "greedy"}, hang)
		if err == nil || !strings.Contains(err.Error(), "policy greedy waits for 2 answers, allowed are 2") {
			t.Errorf("got %v, want that it has asked enough", err)
		}
		var a asked
		got, err := c.Get(t.Context(), Question{"three", "other"}, a.answering("3"))
		if err != nil || string(got) != "3" {
			t.Errorf("got %q, %v for another policy", got, err)
		}
		end()
		synctest.Wait()
		got, err = c.Get(t.Context(), Question{"three", "greedy"}, a.answering("3"))
		if err != nil || string(got) != "3" || len(c.pending) != 0 {
			t.Errorf("got %q, %v with %d askers left, want an answer after the others ended", got, err, len(c.pending))
		}
	})
}

// What was asked before everything was forgotten is no answer afterwards.
func TestCacheForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{TTL: time.Minute, Now: time.Now})
		var a asked
		want(t, c, &a, expected{"kept", "1", 1})
		var asking sync.WaitGroup
		asking.Go(func() {
			got, err := c.Get(t.Context(), Question{"asked", "a"}, func(context.Context) ([]byte, error) {
				time.Sleep(time.Second)
				return []byte("old"), nil
			})
			if err != nil || string(got) != "old" {
				t.Errorf("got %q, %v, want what was asked for", got, err)
			}
		})
		synctest.Wait()
		c.Forget()
		want(t, c, &a, expected{"asked", "new", 2}) // at once: it does not wait for the former question
		asking.Wait()
		want(t, c, &a, expected{"asked", "new", 2}) // and its answer is not kept
		want(t, c, &a, expected{"kept", "1", 3})
	})
}
