package evaluation

import (
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

func TestModulesLoadASourceOnceHoweverLateACallerComes(t *testing.T) {
	w := newWorld(t)
	w.serve("m", "m")
	fetcher := w.loader.config.FetcherFor(contract.Sources{}, nil)
	from := source{url: "m"}
	for range 2 { // the second is a caller who looked before the first was done
		if err := w.loader.modules.load(t.Context(), from, fetcher); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.compiled) != 1 || w.fetches() != 1 {
		t.Errorf("got %d modules out of %d fetches, want one of each", len(w.compiled), w.fetches())
	}
}

// However many policies wait for one module, others are prepared.
func TestWaitingForAModuleKeepsNobodyFromWork(t *testing.T) {
	inWorld(t, func(w *world) {
		w.serve("fast", "fast")
		w.gate = make(chan struct{})
		policies := contract.Policies{"a": {Module: "slow"}, "b": {Module: "slow"}, "c": {Module: "slow"}}
		w.applyAndWait(entries(policies))
		w.mu.Lock()
		w.gate = nil
		w.mu.Unlock()
		policies["d"] = contract.Entry{Module: "fast"}
		w.applyAndWait(entries(policies))
		want(w.t, w, "d", "fast {}")
	})
}

// No more modules than Parallelism are fetched at the same time.
func TestFetchesHaveBounds(t *testing.T) {
	inWorld(t, func(w *world) {
		w.gate = make(chan struct{})
		policies := contract.Policies{}
		for number := range 3 * parallelism {
			url := strconv.Itoa(number)
			w.serve(url, url)
			policies[url] = contract.Entry{Module: url}
		}
		w.applyAndWait(entries(policies))
		for fetched := range 3 * parallelism {
			if got, want := w.waits(), min(parallelism, 3*parallelism-fetched); got != want {
				w.t.Errorf("%d fetches at the same time after %d, want %d", got, fetched, want)
			}
			w.gate <- struct{}{}
			synctest.Wait()
		}
	})
}

// A policy that nobody wants any more while it waits for its turn is not fetched.
func TestWaitingEndsWhenItIsCalledOff(t *testing.T) {
	inWorld(t, func(w *world) {
		w.gate = make(chan struct{})
		policies := contract.Policies{"a": {Module: "one"}, "b": {Module: "two"}}
		w.applyAndWait(entries(policies))
		policies["c"] = contract.Entry{Module: "three"}
		w.applyAndWait(entries(policies))
		delete(policies, "c")
		w.applyAndWait(entries(policies))
		gate := w.gate
		w.mu.Lock()
		w.gate = nil
		w.mu.Unlock()
		close(gate)
		synctest.Wait()
		if diff := cmp.Diff([]string{"one", "two"}, sorted(w.fetched)); diff != "" {
			w.t.Errorf("fetched, -want +got:\n%s", diff)
		}
	})
}

// No more policies than Parallelism have their settings checked at the same time.
func TestChecksOfSettingsHaveBounds(t *testing.T) {
	inWorld(t, func(w *world) {
		w.serve("m", "m")
		policies := contract.Policies{}
		for number := range 3 * parallelism {
			policies[strconv.Itoa(number)] = contract.Entry{Module: "m", Settings: settings("hang")}
		}
		w.applyAndWait(entries(policies))
		if got := w.waits(); got != parallelism {
			w.t.Errorf("%d checks at the same time, want %d", got, parallelism)
		}
	})
}
