package evaluation

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

func TestSnapshotTellsDigestsThatNothingPins(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		w.serve("one", "one")
		w.serve("two", "two")
		one, two := digestText("one"), digestText("two")
		pinned := groupOf("a() && b()", map[string]string{"a": "one", "b": "two"})
		pinned.Policies["b"] = contract.Member{Module: "two", ModuleDigest: two}
		w.applyAndWait(entries(contract.Policies{
			"free":   {Module: "one"},
			"pinned": {Module: "one", ModuleDigest: one},
			"group":  pinned,
		}))
		wantDigests(t, w, map[string]string{"free": one, "group/a": one})
		if _, served := w.Snapshot().Policies["group"]; !served {
			t.Fatal("the group is not served")
		}

		// An entry that cannot be loaded: what still serves is another module than the one
		// that it pins.
		w.applyAndWait(entries(contract.Policies{"pinned": {Module: "one", ModuleDigest: digestText("none")}}))
		wantDigests(t, w, map[string]string{"pinned": one})
		w.applyAndWait(entries(contract.Policies{}))
		wantDigests(t, w, map[string]string{})
	})
}

func wantDigests(t *testing.T, w *world, want map[string]string) {
	t.Helper()
	if diff := cmp.Diff(want, w.Snapshot().Digests); diff != "" {
		t.Errorf("unexpected digests (-want +got):\n%s", diff)
	}
}

func digestText(content string) string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(content)))
}

func TestLoaderTakesAPinOfWhatServesForNoChange(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		w.serve("tag", "first")
		free := contract.Policies{"a": {Module: "tag"}, "g": groupOf("m()", map[string]string{"m": "tag"})}
		w.applyAndWait(entries(free))
		before := w.Snapshot()
		w.serve("tag", "second") // the tag moves

		pinned := contract.Policies{"a": {Module: "tag", ModuleDigest: digestText("first")}, "g": groupOf("m()", nil)}
		pinned["g"].Policies["m"] = contract.Member{Module: "tag", ModuleDigest: digestText("first")}
		w.applyAndWait(entries(pinned))
		after := w.Snapshot()
		if diff := cmp.Diff(before.Policies, after.Policies); diff != "" {
			t.Errorf("revisions changed (-before +after):\n%s", diff)
		}
		if before.ConfigRevision != after.ConfigRevision {
			t.Errorf("config revision changed from %s to %s", before.ConfigRevision, after.ConfigRevision)
		}
		wantDigests(t, w, map[string]string{})

		// And back: somebody took the ConfigMap away, and it was made again without pins.
		w.applyAndWait(entries(free))
		want(t, w, "a", "first {}")
		wantDigests(t, w, map[string]string{"a": digestText("first"), "g/m": digestText("first")})
		if diff := cmp.Diff([]string{"tag"}, w.fetched); diff != "" {
			t.Errorf("unexpected fetches (-want +got):\n%s", diff)
		}
	})
}

func TestLoaderServesThePinnedModuleInsteadOfAnother(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		w.serve("tag", "mine")
		w.applyAndWait(entries(contract.Policies{"a": {Module: "tag"}, "g": groupOf("m()", map[string]string{"m": "tag"})}))
		want(t, w, "a", "mine {}")
		// Another replica resolved the tag to other code, and the operator chose that.
		w.serve("tag", "accepting theirs")
		theirs := digestText("accepting theirs")
		group := groupOf("m()", nil)
		group.Policies["m"] = contract.Member{Module: "tag", ModuleDigest: theirs}
		w.applyAndWait(entries(contract.Policies{"a": {Module: "tag", ModuleDigest: theirs}, "g": group}))
		want(t, w, "a", "allowed")
		want(t, w, "g", "allowed")
	})
}

func TestLoaderTakesUpAnEntryThatOnlyItsPinMadeUnreadable(t *testing.T) {
	inWorld(t, func(w *world) {
		w.serve("m", "m")
		entry := contract.Entry{Module: "m"}
		hash, err := contract.EntryHash(entry)
		if err != nil {
			w.t.Fatal(err)
		}
		refused := map[string]error{"a": &contract.EntryError{Hash: hash, Err: errors.New("moduleDigest is no digest")}}
		w.applyAndWait(Wanted{Refused: refused})
		w.applyAndWait(entries(contract.Policies{"a": entry}))
		want(w.t, w, "a", "m {}")
	})
}

func TestLoaderResolvesATagAgainOnceWhenAskedTo(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		w.serve("tag", "first")
		entry := func(refresh, say string) Wanted {
			group := groupOf("m()", map[string]string{"m": "tag"})
			group.Refresh = refresh
			return entries(contract.Policies{"a": {Module: "tag", Refresh: refresh, Settings: settings(say)}, "g": group})
		}
		w.applyAndWait(entry("", "1"))
		w.serve("tag", "second")
		w.applyAndWait(entry("", "2"))
		want(t, w, "a", `first {"say":"2"}`)
		w.applyAndWait(entry("now", "2"))
		want(t, w, "a", `second {"say":"2"}`)
		wantDigests(t, w, map[string]string{"a": digestText("second"), "g/m": digestText("second")})
		w.serve("tag", "third")
		w.applyAndWait(entry("now", "3"))
		want(t, w, "a", `second {"say":"3"}`)
		if diff := cmp.Diff([]string{"tag", "tag"}, w.fetched); diff != "" {
			t.Errorf("unexpected fetches (-want +got):\n%s", diff)
		}
		w.applyAndWait(entry("", "3")) // the annotation is removed: another value, too
		want(t, w, "a", `third {"say":"3"}`)
	})
}
