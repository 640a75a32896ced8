package evaluation

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// goodOf is the last good revision of an entry whose modules hold what the world serves.
func goodOf(t *testing.T, w *world, entry contract.Entry) contract.LastGood {
	t.Helper()
	digestOf := func(url string) string {
		sum := sha256.Sum256([]byte(w.content[url]))
		return "sha256:" + hex.EncodeToString(sum[:])
	}
	digests := map[string]string{}
	for name, member := range entry.Policies {
		digests[name] = digestOf(member.Module)
	}
	if !entry.IsGroup() {
		digests[""] = digestOf(entry.Module)
	}
	good, err := contract.NewLastGood(entry, digests)
	if err != nil {
		t.Fatal(err)
	}
	return good
}

// beside is a configuration of one policy "a" and what to fall back on.
func beside(entry contract.Entry, good contract.LastGood) Wanted {
	return Wanted{Policies: contract.Policies{"a": entry}, LastGood: map[string]contract.LastGood{"a": good}}
}

func entryOf(uid, url, say string) contract.Entry {
	return contract.Entry{UID: uid, Module: url, Settings: settings(say)}
}

func hashOf(t *testing.T, entry contract.Entry) string {
	t.Helper()
	hash, err := contract.EntryHash(entry)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

func TestLoaderServesAPolicyMadeAgainWithTheSameContent(t *testing.T) {
	inWorld(t, func(w *world) {
		w.serve("one", "one")
		for _, uid := range []string{"u", "again"} {
			w.applyAndWait(entries(contract.Policies{"a": entryOf(uid, "one", "good")}))
			want(w.t, w, "a", `one {"say":"good"}`)
			if got := w.Snapshot().Policies["a"].Owner; got != contract.OwnerHash(uid) {
				w.t.Errorf("got owner %q, want that of %s", got, uid)
			}
		}
		if w.fetches() != 1 {
			w.t.Errorf("got %d fetches, want one", w.fetches())
		}
	})
}

func TestLoaderFallsBackOnTheLastGoodRevision(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		w.serve("one", "one")
		before := entryOf("u", "one", "good")
		good, bad := goodOf(t, w, before), entryOf("u", "one", "bad")
		bad.Message = "today's message"
		w.applyAndWait(beside(bad, good))
		want(t, w, "a", "today's message")
		snapshot := w.Snapshot()
		if got := snapshot.Policies["a"].Revision; got != good.Revision {
			t.Errorf("got revision %s, want %s as the replicas before had it", got, good.Revision)
		}
		if got := snapshot.Failures["a"]; got.Reason != contract.ReasonInvalidSettings || got.Wanted != hashOf(t, bad) {
			t.Errorf("got failure %+v, want InvalidSettings of %s", got, hashOf(t, bad))
		}
		wantReady(w, "with a last good revision", true)

		bad.PolicyMode = contract.ModeMonitor
		w.applyAndWait(beside(bad, good))
		want(t, w, "a", "allowed")

		// Back again: what serves already is what is wanted.
		fetched := w.fetches()
		w.applyAndWait(entries(contract.Policies{"a": before}))
		want(t, w, "a", `one {"say":"good"}`)
		if failures := w.Snapshot().Failures; len(failures) > 0 || w.fetches() != fetched {
			t.Errorf("got failures %v and %d fetches more, want none", failures, w.fetches()-fetched)
		}
	})
}

func TestLoaderFallsBackOnlyWhereTodayAllowsIt(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(w *world, entry *contract.Entry, good *contract.LastGood)
		want   string
	}{
		"nothing objects":                       {func(*world, *contract.Entry, *contract.LastGood) {}, `one {"say":"good"}`},
		"the policy was deleted and made again": {func(_ *world, entry *contract.Entry, _ *contract.LastGood) { entry.UID = "other" }, "Policy settings are invalid: bad is not good"},
		"its source refuses the last good module": {func(w *world, _ *contract.Entry, _ *contract.LastGood) {
			w.fail("one", classified{contract.ReasonModuleForbidden})
		}, "bootstrap failure: a: Error while downloading policy 'a' from one: made up: ModuleForbidden"},
		"another module is at its place": {func(_ *world, _ *contract.Entry, good *contract.LastGood) {
			good.ModuleDigest = "sha256:" + hex.EncodeToString(make([]byte, 32))
		}, "Policy settings are invalid: bad is not good"},
		"the last good settings are bad today": {func(_ *world, _ *contract.Entry, good *contract.LastGood) { good.Settings = settings("bad too") }, "Policy settings are invalid: bad is not good"},
		"today's grants cannot be read": {
			func(_ *world, entry *contract.Entry, _ *contract.LastGood) { entry.HostCapabilities = []string{"net"} },
			`bootstrap failure: a: invalid hostCapabilities pattern for policy a: invalid pattern "net": not a complete capability path; use "net/*" to allow all capabilities under it`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.serve("one", "one")
				good, bad := goodOf(w.t, w, entryOf("u", "one", "good")), entryOf("u", "one", "bad")
				tc.change(w, &bad, &good)
				w.applyAndWait(beside(bad, good))
				want(w.t, w, "a", tc.want)
			})
		})
	}
}

func TestLoaderFallsBackWhileTheWantedModuleCannotBeFetched(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		w.serve("one", "one")
		w.serve("two", "two")
		w.fail("two", errors.New("network is down"))
		good := goodOf(t, w, entryOf("u", "one", "good"))
		w.applyAndWait(beside(entryOf("u", "two", "new"), good))
		want(t, w, "a", `one {"say":"good"}`)
		wantReady(w, "with one policy's registry down and a last good revision", true)
	})
}

func TestLoaderTakesUpALastGoodRevisionThatComesLater(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		w.serve("one", "one")
		good, bad := goodOf(t, w, entryOf("u", "one", "good")), entryOf("u", "one", "bad")
		w.applyAndWait(entries(contract.Policies{"a": bad}))
		want(t, w, "a", "Policy settings are invalid: bad is not good")
		w.applyAndWait(beside(bad, good))
		want(t, w, "a", `one {"say":"good"}`)
	})
}

func TestLoaderInheritsNothingFromAPolicyOfTheSameName(t *testing.T) {
	for name, say := range map[string]string{"of another content": "bad other", "of the same content": "bad"} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				t := w.t
				w.serve("one", "one")
				w.applyAndWait(entries(contract.Policies{"a": entryOf("u", "one", "good")}))
				w.applyAndWait(entries(contract.Policies{"a": entryOf("u", "one", "bad")}))
				want(t, w, "a", `one {"say":"good"}`)
				if got := w.Snapshot().Policies["a"].Owner; got != contract.OwnerHash("u") {
					t.Errorf("got owner %q, want that of the policy that is served", got)
				}
				w.applyAndWait(entries(contract.Policies{"a": entryOf("again", "one", say)}))
				want(t, w, "a", "Policy settings are invalid: bad is not good")
				if got, want := w.Snapshot().Failures["a"].Wanted, hashOf(t, entryOf("again", "one", say)); got != want {
					t.Errorf("got a failure of entry %s, want of %s", got, want)
				}
				if served := w.Snapshot().Policies; len(served) > 0 {
					t.Errorf("got %v served, want nothing", served)
				}
				w.applyAndWait(entries(nil))
				if !w.module(t, "one").closed.Load() {
					t.Error("the module that nobody uses is open")
				}
			})
		})
	}
}

func TestLoaderFallsBackOnTheLastGoodRevisionOfAGroup(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		w.serveWords()
		before := groupOf("no()", map[string]string{"no": "no"})
		before.UID = "u"
		good := goodOf(t, w, before)
		broken := groupOf("accept() || new()", map[string]string{"accept": "accept", "new": "broken"})
		broken.UID, broken.Message = "u", "today's message"
		w.serve("broken", "broken")
		w.applyAndWait(beside(broken, good))
		want(t, w, "a", "today's message")
		if got := w.Snapshot().Policies["a"].Revision; got != good.Revision {
			t.Errorf("got revision %s, want %s", got, good.Revision)
		}
	})
}
