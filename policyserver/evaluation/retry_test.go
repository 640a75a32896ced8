package evaluation

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

func TestLoaderTriesAgainWhatMayPass(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		w.serve("m", "m")
		w.fail("m", errors.New("network is down"))
		w.applyAndWait(entries(contract.Policies{"a": {Module: "m"}}))
		for attempt, wait := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 8 * time.Second} {
			if got := w.fetches(); got != attempt+1 {
				t.Fatalf("got %d attempts, want %d", got, attempt+1)
			}
			time.Sleep(wait - time.Millisecond)
			synctest.Wait()
			if got := w.fetches(); got != attempt+1 {
				t.Fatalf("attempt %d came too early", got)
			}
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		w.fail("m", nil)
		time.Sleep(8 * time.Second)
		synctest.Wait()
		want(t, w, "a", "m {}")
		attempts := w.fetches()
		time.Sleep(time.Hour)
		if got := w.fetches(); got != attempts {
			t.Errorf("got %d attempts after the policy was loaded, want none", got-attempts)
		}
	})
}

func TestLoaderDoesNotTryAgainWhatIsRefusedForGood(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		w.fail("m", classified{contract.ReasonInvalidModule})
		wanted := entries(contract.Policies{"a": {Module: "m"}})
		w.applyAndWait(wanted)
		time.Sleep(time.Hour)
		w.applyAndWait(wanted)
		if got := w.fetches(); got != 1 {
			t.Errorf("got %d attempts, want 1", got)
		}
		w.serve("m", "m")
		wanted.Sources = contract.Sources{InsecureSources: []string{"registry.test"}}
		w.applyAndWait(wanted)
		want(t, w, "a", "m {}")
	})
}

func TestLoaderGivesSlowSettingsAnotherChance(t *testing.T) {
	inWorld(t, func(w *world) {
		w.serve("m", "m")
		w.applyAndWait(entries(contract.Policies{"a": {Module: "m", Settings: settings("hang")}}))
		// Three attempts of 5 s, with waits of 1 s and 2 s between them.
		for _, step := range []struct {
			after time.Duration
			want  contract.Reason
		}{{5 * time.Second, contract.ReasonUnavailable}, {6 * time.Second, contract.ReasonUnavailable}, {7 * time.Second, contract.ReasonInvalidSettings}} {
			time.Sleep(step.after)
			synctest.Wait()
			if got := w.Snapshot().Failures["a"].Reason; got != step.want {
				w.t.Errorf("got reason %s, want %s", got, step.want)
			}
			wantReady(w, "after "+step.after.String(), step.want == contract.ReasonInvalidSettings)
		}
	})
}

func TestLoaderReadiness(t *testing.T) {
	for name, tc := range map[string]struct {
		failure   error
		wantReady bool
	}{
		"everything is loaded":       {wantReady: true},
		"a policy is refused":        {failure: classified{contract.ReasonModuleNotFound}, wantReady: true},
		"a fetch failed and may not": {failure: errors.New("network is down"), wantReady: false},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.serve("good", "good")
				w.serve("m", "m")
				w.fail("m", tc.failure)
				wantReady(w, "before any configuration", false)
				w.applyAndWait(entries(contract.Policies{"good": {Module: "good"}, "other": {Module: "m"}}))
				wantReady(w, "when every entry has an outcome", tc.wantReady)
				w.fail("m", nil)
				time.Sleep(time.Minute)
				synctest.Wait()
				wantReady(w, "when everything is loaded", true)
				w.fail("new", errors.New("network is down"))
				w.applyAndWait(entries(contract.Policies{"good": {Module: "good"}, "new": {Module: "new"}}))
				wantReady(w, "when something new fails", true)
			})
		})
	}
}

func wantReady(w *world, when string, want bool) {
	w.t.Helper()
	if err := w.Ready(); (err == nil) != want {
		w.t.Errorf("%s: got %v, want ready %t", when, err, want)
	}
}

// What a source refuses may be put right there: a tag is pushed, a right is granted.
func TestLoaderAsksAgainOnceInAWhileWhatTheSourceRefuses(t *testing.T) {
	for _, reason := range []contract.Reason{contract.ReasonModuleNotFound, contract.ReasonModuleForbidden} {
		t.Run(string(reason), func(t *testing.T) {
			inWorld(t, func(w *world) {
				t := w.t
				w.serve("m", "m")
				w.fail("m", classified{reason})
				w.applyAndWait(entries(contract.Policies{"a": {Module: "m"}}))
				wantReady(w, "when the source has refused", true)
				for attempts := 1; attempts <= 3; attempts++ {
					if got := w.fetches(); got != attempts {
						t.Errorf("got %d attempts, want %d", got, attempts)
					}
					if got := w.Snapshot().Failures["a"].Reason; got != reason {
						t.Errorf("got reason %q, want %q all the time", got, reason)
					}
					time.Sleep(w.loader.config.RetrySlow)
					synctest.Wait()
				}
				w.fail("m", nil)
				time.Sleep(w.loader.config.RetrySlow)
				synctest.Wait()
				want(t, w, "a", "m {}")
			})
		})
	}
}

// A loader that is told of no waits has some all the same: it must not ask as fast as it is
// refused.
func TestLoaderWaitsBetweenAttemptsWhateverItsConfiguration(t *testing.T) {
	for name, tc := range map[string]struct {
		failure error
		set     time.Duration
		want    int // attempts within five minutes, the last of which is just past
	}{
		"what may pass":                        {failure: errors.New("network is down"), want: 10},
		"what the source refuses":              {failure: classified{contract.ReasonModuleNotFound}, want: 2},
		"waits that are negative":              {failure: classified{contract.ReasonModuleForbidden}, set: -time.Second, want: 2},
		"waits that are negative, what passes": {failure: errors.New("network is down"), set: -time.Second, want: 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				config := w.loader.config
				config.RetryFirst, config.RetryMost, config.RetrySlow = tc.set, tc.set, tc.set
				w.loader = NewLoader(config)
				w.fail("m", tc.failure)
				w.run()
				w.applyAndWait(entries(contract.Policies{"a": {Module: "m"}}))
				time.Sleep(5*time.Minute + time.Second)
				synctest.Wait()
				if got := w.fetches(); got != tc.want {
					t.Errorf("got %d attempts in five minutes, want %d", got, tc.want)
				}
			})
		})
	}
}

func TestLoaderHasPatienceAtItsStart(t *testing.T) {
	for name, tc := range map[string]struct {
		patience time.Duration
		hang     bool // the source gives no answer at all
		want     string
	}{
		"a source that is down":         {patience: time.Minute, want: "bootstrap failure: a: Error while downloading policy 'a' from m: network is down"},
		"a source that does not answer": {patience: time.Minute, hang: true, want: "error: policy a is being loaded"},
		"patience for ever":             {want: "bootstrap failure: a: Error while downloading policy 'a' from m: network is down"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.loader.config.StartupPatience = tc.patience
				w.fail("m", errors.New("network is down"))
				if tc.hang {
					w.gate = make(chan struct{})
				}
				w.run()
				w.applyAndWait(entries(contract.Policies{"a": {Module: "m"}}))
				wantReady(w, "at first", false)
				time.Sleep(tc.patience - time.Millisecond)
				synctest.Wait()
				wantReady(w, "while there is patience", false)
				time.Sleep(time.Hour)
				synctest.Wait()
				wantReady(w, "an hour later", tc.patience > 0)
				want(t, w, "a", tc.want)
			})
		})
	}
}

func TestLoaderIsNotReadyBeforeAConfigurationHoweverLongItTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.loader.config.StartupPatience = time.Minute
		w.run()
		time.Sleep(time.Hour)
		synctest.Wait()
		wantReady(w, "without a configuration", false)
		w.fail("m", errors.New("network is down"))
		w.applyAndWait(entries(contract.Policies{"a": {Module: "m"}}))
		wantReady(w, "when one comes after the patience is over", true)
	})
}
