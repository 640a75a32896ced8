package evaluation

import (
	"crypto/sha256"
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
