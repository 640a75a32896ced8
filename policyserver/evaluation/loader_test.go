package evaluation

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// inWorld runs a test in a bubble with a clock of its own: waits for retries cost nothing,
// and synctest.Wait returns when everything has come to rest.
func inWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Helper()
		w := newWorld(t)
		w.run()
		test(w)
	})
}

func (w *world) applyAndWait(wanted Wanted) {
	w.loader.Apply(wanted)
	synctest.Wait()
}

func want(t *testing.T, w *world, id, want string) {
	t.Helper()
	if got := w.ask(t, id); got != want {
		t.Errorf("%s: got %q, want %q", id, got, want)
	}
}

func TestNoPolicyIsUnknownBeforeTheFirstConfiguration(t *testing.T) {
	inWorld(t, func(w *world) {
		want(w.t, w, "a", "error: the policies are being read")
		want(w.t, w, "g/a", "error: the policies are being read")
		_, err := w.Evaluate(w.t.Context(), "a", Request{})
		if unavailable, is := errors.AsType[*Error](err); !is || unavailable.Kind != KindUnavailable {
			w.t.Errorf("got %v, want KindUnavailable: whoever asks is to come back", err)
		}
		w.applyAndWait(entries(nil))
		want(w.t, w, "a", "error: unknown policy: a")
	})
}

func TestLoaderServesAndSwapsPolicies(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		w.serve("one", "one")
		w.serve("two", "two")
		w.applyAndWait(entries(contract.Policies{"a": {Module: "one", Settings: settings("1")}, "b": {Module: "two"}}))
		want(t, w, "a", `one {"say":"1"}`)
		want(t, w, "b", "two {}")

		w.applyAndWait(entries(contract.Policies{"a": {Module: "one", Settings: settings("2")}, "c": {Module: "one"}}))
		want(t, w, "a", `one {"say":"2"}`)
		want(t, w, "b", "error: unknown policy: b")
		want(t, w, "c", "one {}")
		if diff := cmp.Diff([]string{"one", "two"}, sorted(w.fetched)); diff != "" {
			t.Errorf("a module that is loaded must not be fetched again; -want +got:\n%s", diff)
		}
		if one, two := w.module(t, "one"), w.module(t, "two"); one.closed.Load() || !two.closed.Load() {
			t.Errorf("got one closed %t, two closed %t; want false, true", one.closed.Load(), two.closed.Load())
		}
	})
}

func sorted(list []string) []string {
	if len(list) == 2 && list[0] > list[1] {
		list[0], list[1] = list[1], list[0]
	}
	return list
}

func (w *world) module(t *testing.T, content string) *fakeModule {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, module := range w.compiled {
		if module.content == content {
			return module
		}
	}
	t.Fatalf("module %s was not compiled", content)
	return nil
}

func TestLoaderOneBadEntryFailsAlone(t *testing.T) {
	unreadable := &contract.EntryError{Hash: "0123456789ab", Err: errors.New("unknown field")}
	for name, tc := range map[string]struct {
		entry       contract.Entry
		refused     error
		fetch       error
		wantReason  contract.Reason
		wantMessage string
	}{
		"bad settings": {
			entry:      contract.Entry{Module: "m", Settings: settings("bad")},
			wantReason: contract.ReasonInvalidSettings, wantMessage: "Policy settings are invalid: bad is not good",
		},
		"settings that hang": {
			entry:      contract.Entry{Module: "m", Settings: settings("hang")},
			wantReason: contract.ReasonInvalidSettings, wantMessage: "Policy settings are invalid: too slow",
		},
		"bad module": {
			entry:      contract.Entry{Module: "broken"},
			wantReason: contract.ReasonInvalidModule, wantMessage: "bootstrap failure: bad: no module",
		},
		"absent module": {
			entry: contract.Entry{Module: "m"}, fetch: classified{contract.ReasonModuleNotFound},
			wantReason:  contract.ReasonModuleNotFound,
			wantMessage: "bootstrap failure: bad: Error while downloading policy 'bad' from m: made up: ModuleNotFound",
		},
		"unsigned module": {
			entry: contract.Entry{Module: "m"}, fetch: classified{contract.ReasonUnverified},
			wantReason:  contract.ReasonUnverified,
			wantMessage: "bootstrap failure: bad: Policy 'bad' cannot be verified: made up: Unverified",
		},
		"network down": {
			entry: contract.Entry{Module: "m"}, fetch: errors.New("network is down"),
			wantReason:  contract.ReasonFetchFailed,
			wantMessage: "bootstrap failure: bad: Error while downloading policy 'bad' from m: network is down",
		},
		"group whose expression is none": {
			entry:       groupOf("a() + 1", map[string]string{"a": "m"}),
			wantReason:  contract.ReasonInvalidEntry,
			wantMessage: `error evaluating policy group expression: expression "a() + 1": line 1, column 5: there is no operator +; ` + language + `; the members are a()`,
		},
		"group with a member that no expression can call": {
			entry:       groupOf("true", map[string]string{"a-b": "m"}),
			wantReason:  contract.ReasonInvalidEntry,
			wantMessage: `error evaluating policy group expression: policy group member name is invalid: "a-b" must be made of letters, digits and underscores, not begin with a digit, and not be a word that CEL reserves`,
		},
		"group with bad settings of a member": {
			entry: contract.Entry{
				Policies:   map[string]contract.Member{"a": {Module: "good"}, "b": {Module: "good", Settings: settings("bad")}},
				Expression: "a()", Message: "no",
			},
			wantReason: contract.ReasonInvalidSettings, wantMessage: "member b: Policy settings are invalid: bad is not good",
		},
		"group with settings of a member that hang": {
			entry: contract.Entry{
				Policies:   map[string]contract.Member{"a": {Module: "good", Settings: settings("hang")}},
				Expression: "a()", Message: "no",
			},
			wantReason: contract.ReasonInvalidSettings, wantMessage: "member a: Policy settings are invalid: too slow",
		},
		"group with a bad module": {
			entry:      groupOf("a()", map[string]string{"a": "good", "b": "broken"}),
			wantReason: contract.ReasonInvalidModule, wantMessage: "bootstrap failure: bad/b: no module",
		},
		"group with an absent module": {
			entry: groupOf("a()", map[string]string{"a": "good", "b": "m"}), fetch: classified{contract.ReasonModuleNotFound},
			wantReason:  contract.ReasonModuleNotFound,
			wantMessage: "bootstrap failure: bad/b: Error while downloading policy 'bad/#b' from m: made up: ModuleNotFound",
		},
		"group with a capability that there is none of": {
			entry: contract.Entry{
				Policies:   map[string]contract.Member{"a": {Module: "good", HostCapabilities: []string{"oci"}}},
				Expression: "a()", Message: "no",
			},
			wantReason: contract.ReasonInvalidEntry,
			wantMessage: `bootstrap failure: bad/a: invalid hostCapabilities pattern for policy bad/a: ` +
				`invalid pattern "oci": not a complete capability path; use "oci/*" to allow all capabilities under it`,
		},
		"unreadable entry": {
			refused:    unreadable,
			wantReason: contract.ReasonInvalidEntry, wantMessage: "bootstrap failure: bad: unknown field",
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				t := w.t
				w.serve("good", "good")
				w.serve("m", "m")
				w.serve("broken", "broken")
				w.fail("m", tc.fetch)
				wanted := entries(contract.Policies{"good": {Module: "good"}, "bad": tc.entry})
				if tc.refused != nil {
					delete(wanted.Policies, "bad")
					wanted.Refused = map[string]error{"bad": tc.refused}
				}
				w.loader.Apply(wanted)
				time.Sleep(20 * time.Second) // of the bubble: beyond the timeouts of all attempts to check settings
				synctest.Wait()
				want(t, w, "good", "good {}")
				want(t, w, "bad", tc.wantMessage)
				failure := w.Snapshot().Failures["bad"]
				wantHash := contract.RefusedHash(tc.refused)
				if tc.refused == nil {
					wantHash, _ = contract.EntryHash(tc.entry)
				}
				if failure.Reason != tc.wantReason || failure.Wanted != wantHash {
					t.Errorf("got failure %+v, want reason %s and hash %s", failure, tc.wantReason, wantHash)
				}
			})
		})
	}
}

func TestLoaderKeepsTheEarlierRevisionServing(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		w.serve("one", "one")
		good := contract.Entry{Module: "one", Settings: settings("good")}
		w.applyAndWait(entries(contract.Policies{"a": good}))
		before := w.Snapshot()

		bad := contract.Entry{Module: "one", Settings: settings("bad")}
		w.applyAndWait(entries(contract.Policies{"a": bad}))
		want(t, w, "a", `one {"say":"good"}`)
		after := w.Snapshot()
		if diff := cmp.Diff(before.Policies, after.Policies); diff != "" {
			t.Errorf("what serves changed; -before +after:\n%s", diff)
		}
		hash, _ := contract.EntryHash(bad)
		if failure := after.Failures["a"]; failure.Wanted != hash || failure.Reason != contract.ReasonInvalidSettings {
			t.Errorf("got failure %+v, want InvalidSettings of %s", failure, hash)
		}

		w.applyAndWait(Wanted{Refused: map[string]error{"a": errors.New("unreadable")}})
		want(t, w, "a", `one {"say":"good"}`)
		w.applyAndWait(entries(contract.Policies{"a": good}))
		want(t, w, "a", `one {"say":"good"}`)
		if failures := w.Snapshot().Failures; len(failures) > 0 {
			t.Errorf("got failures %v, want none once the entry is good again", failures)
		}
		w.applyAndWait(entries(nil))
		want(t, w, "a", "error: unknown policy: a")
		if !w.module(t, "one").closed.Load() {
			t.Error("the module of the removed policy is not closed")
		}
	})
}

func TestLoaderEarlierRevisionServesUnderTodaysMode(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		w.serve("one", "one")
		w.applyAndWait(entries(contract.Policies{"a": {Module: "one"}}))
		want(t, w, "a", "one {}")
		w.applyAndWait(entries(contract.Policies{"a": {Module: "one", Settings: settings("bad"), PolicyMode: contract.ModeMonitor}}))
		want(t, w, "a", "allowed")
		w.applyAndWait(entries(contract.Policies{"a": {Module: "one", Settings: settings("bad")}}))
		want(t, w, "a", "one {}")
	})
}

func TestLoaderConfigRevisionCountsFailures(t *testing.T) {
	inWorld(t, func(w *world) {
		w.fail("m", errors.New("network is down"))
		policies := contract.Policies{"a": {Module: "m"}}
		w.applyAndWait(entries(policies))
		want, err := contract.ConfigRevision(policies)
		if got := w.Snapshot().ConfigRevision; err != nil || got != want {
			w.t.Errorf("got config revision %q, error %v; want %q: the entry has an outcome", got, err, want)
		}
	})
}

func TestLoaderIsReadyWithoutPolicies(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		w.applyAndWait(entries(nil))
		if err := w.Ready(); err != nil {
			t.Error(err)
		}
		if w.Snapshot().ConfigRevision == "" {
			t.Error("no config revision")
		}
	})
}

func TestLoaderAsksToComeBackWhileLoading(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		w.gate = make(chan struct{})
		w.serve("m", "m")
		w.applyAndWait(entries(contract.Policies{"a": {Module: "m"}, "b": {Module: "m"}}))
		_, err := w.Evaluate(t.Context(), "a", Request{Origin: OriginValidate})
		var unavailable *Error
		if !errors.As(err, &unavailable) || unavailable.Kind != KindUnavailable {
			t.Errorf("got %v, want an error of KindUnavailable", err)
		}
		if w.Ready() == nil || w.Snapshot().ConfigRevision != "" {
			t.Error("ready, or with a config revision, before anything is loaded")
		}
		w.gate <- struct{}{} // one fetch is enough for both
		synctest.Wait()
		want(t, w, "a", "m {}")
		want(t, w, "b", "m {}")
		if len(w.compiled) != 1 || w.fetches() != 1 {
			t.Errorf("got %d modules out of %d fetches, want one of each for one URL", len(w.compiled), w.fetches())
		}
	})
}

func TestLoaderSlowPolicyHoldsNobodyUp(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		w.serve("fast", "fast")
		w.gate = make(chan struct{})
		w.applyAndWait(entries(contract.Policies{"slow": {Module: "slow"}}))
		w.mu.Lock()
		w.gate = nil
		w.mu.Unlock()
		w.applyAndWait(entries(contract.Policies{"slow": {Module: "slow"}, "fast": {Module: "fast"}}))
		want(t, w, "fast", "fast {}")
		if got := w.ask(t, "slow"); !strings.Contains(got, "is being loaded") {
			t.Errorf("got %q, want the slow one still loading", got)
		}
		w.applyAndWait(entries(contract.Policies{"fast": {Module: "fast"}}))
		want(t, w, "slow", "error: unknown policy: slow")
	})
}

func TestLoaderNewestConfigurationWins(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		w.serve("m", "m")
		w.gate = make(chan struct{})
		w.applyAndWait(entries(contract.Policies{"a": {Module: "m", Settings: settings("1")}}))
		w.mu.Lock()
		w.gate = nil
		w.mu.Unlock()
		for _, text := range []string{"2", "3", "4"} {
			w.loader.Apply(entries(contract.Policies{"a": {Module: "m", Settings: settings(text)}}))
		}
		synctest.Wait()
		want(t, w, "a", `m {"say":"4"}`)
	})
}

func TestLoaderPinsWhatATagStoodFor(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		w.serve("m", "first")
		w.applyAndWait(entries(contract.Policies{"a": {Module: "m"}}))
		w.serve("m", "second")
		w.applyAndWait(entries(contract.Policies{"a": {Module: "m", Settings: settings("x")}}))
		want(t, w, "a", `first {"say":"x"}`)
		w.applyAndWait(entries(contract.Policies{"a": {Module: "m", Settings: settings("x"), Refresh: "now"}}))
		want(t, w, "a", `second {"say":"x"}`)
		if !w.module(t, "first").closed.Load() {
			t.Error("the module that nobody uses any more is not closed")
		}
	})
}

func TestLoaderClosesAModuleWhenItsLastRequestEnds(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		w.serve("m", "accept")
		w.applyAndWait(entries(contract.Policies{"a": {Module: "m"}}))
		module := w.module(t, "accept")
		module.hold = make(chan struct{})
		answer := make(chan string)
		go func() { answer <- w.ask(t, "a") }()
		synctest.Wait()
		w.applyAndWait(entries(nil))
		if module.closed.Load() {
			t.Fatal("the module was closed under a request")
		}
		close(module.hold)
		if got := <-answer; got != "allowed" {
			t.Errorf("got %q, want the request that had begun answered", got)
		}
		if !module.closed.Load() {
			t.Error("the module is not closed after its last request")
		}
	})
}

func TestLoaderIgnoresTheEndOfAJobThatWasCalledOff(t *testing.T) {
	inWorld(t, func(w *world) {
		w.gate = make(chan struct{}) // every fetch waits
		w.serve("m", "m")
		w.applyAndWait(entries(contract.Policies{"a": {Module: "m", Settings: settings("1")}}))
		w.applyAndWait(entries(contract.Policies{"a": {Module: "m", Settings: settings("2")}}))
		if failures := w.Snapshot().Failures; len(failures) > 0 {
			w.t.Errorf("got failures %v, want none: the first job was called off", failures)
		}
		w.gate <- struct{}{}
		synctest.Wait()
		want(w.t, w, "a", `m {"say":"2"}`)
	})
}

func TestLoaderLetsGoOfAPolicyThatCameTooLate(t *testing.T) {
	w := newWorld(t)
	module := &sharedModule{Module: &fakeModule{}}
	module.users.Store(2)
	w.loader.jobs = 1
	w.loader.settle(t.Context(), result{job: &job{id: "gone"}, served: &servedPolicy{guest: &guest{module: module}}}, nil)
	if got := module.users.Load(); got != 1 {
		t.Errorf("got %d users of the module, want 1", got)
	}
	if served := w.Snapshot().Policies; len(served) > 0 {
		t.Errorf("got %v served, want nothing", served)
	}
}

func TestLoaderAsksForThePinnedModule(t *testing.T) {
	inWorld(t, func(w *world) {
		w.serve("m", "m")
		sum := sha256.Sum256([]byte("m"))
		right, wrong := fmt.Sprintf("sha256:%x", sum), "sha256:"+strings.Repeat("0", 64)
		w.applyAndWait(entries(contract.Policies{"a": {Module: "m", ModuleDigest: right}}))
		want(w.t, w, "a", "m {}")
		if diff := cmp.Diff([]string{"m@" + contract.ShortDigest(right)}, w.fetched); diff != "" {
			w.t.Errorf("-want +got:\n%s", diff)
		}
		w.applyAndWait(entries(contract.Policies{"b": {Module: "m", ModuleDigest: wrong}}))
		want(w.t, w, "b", "bootstrap failure: b: the module has digest "+right+", want "+wrong)
	})
}
