package evaluation

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// signedBy is a configuration that asks for the key of an owner; "" asks for none.
func signedBy(owner string, policies contract.Policies) Wanted {
	wanted := entries(policies)
	if owner != "" {
		wanted.Verification = &contract.Verification{AllOf: []contract.Signature{{Kind: contract.SignaturePubKey, Owner: owner}}}
	}
	return wanted
}

// unverified is what requests to a policy see whose module lacks signatures.
func unverified(id string) string {
	return "bootstrap failure: " + id + ": Policy '" + id + "' cannot be verified: made up: Unverified"
}

// inSignedWorld has modules of alice and bob, and one that nobody signed.
func inSignedWorld(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	inWorld(t, func(w *world) {
		for url, owner := range map[string]string{"alice's": "alice", "bob's": "bob", "nobody's": ""} {
			w.serve(url, url)
			w.sign(url, owner)
		}
		test(w.t, w)
	})
}

func TestLoaderServesOnlyWhatIsVerified(t *testing.T) {
	inSignedWorld(t, func(t *testing.T, w *world) {
		t.Helper()
		w.applyAndWait(signedBy("alice", contract.Policies{"a": {Module: "alice's"}, "b": {Module: "bob's"}}))
		want(t, w, "a", "alice's {}")
		want(t, w, "b", unverified("b"))
		if err := w.Ready(); err != nil {
			t.Errorf("not ready: %v; a module without signatures is refused, which keeps nobody waiting", err)
		}
	})
}

func TestLoaderVerifiesAgainWhenOtherSignaturesAreDemanded(t *testing.T) {
	inSignedWorld(t, func(t *testing.T, w *world) {
		t.Helper()
		group := groupOf("m()", map[string]string{"m": "alice's"})
		policies := contract.Policies{"a": {Module: "alice's"}, "n": {Module: "nobody's"}, "g": group}
		w.applyAndWait(signedBy("", policies))
		want(t, w, "n", "nobody's {}")

		w.applyAndWait(signedBy("alice", policies))
		want(t, w, "a", "alice's {}")
		want(t, w, "n", unverified("n"))
		if _, served := w.Snapshot().Policies["n"]; served {
			t.Error("the report says that an unsigned module serves")
		}

		// The key is revoked.
		w.applyAndWait(signedBy("bob", policies))
		want(t, w, "a", unverified("a"))
		if _, served := w.Snapshot().Policies["g"]; served {
			t.Error("a group serves whose member's key is revoked")
		}

		w.applyAndWait(signedBy("", policies))
		want(t, w, "a", "alice's {}")
		want(t, w, "n", "nobody's {}")
	})
}

// Nothing is said of a revision that nobody wants any more while it is verified again.
func TestLoaderSaysNothingOfProofsThatWereCalledOff(t *testing.T) {
	inSignedWorld(t, func(t *testing.T, w *world) {
		t.Helper()
		policies := contract.Policies{"n": {Module: "nobody's"}}
		w.applyAndWait(signedBy("", policies))
		var log strings.Builder
		w.loader.config.Logger = slog.New(slog.NewTextHandler(&log, nil))
		w.gate = make(chan struct{})
		w.applyAndWait(signedBy("alice", policies))
		w.applyAndWait(signedBy("alice", nil))
		if log.Len() > 0 {
			t.Errorf("logged: %s", log.String())
		}
	})
}

func TestLoaderAsksNobodyAgainWhatWasVerified(t *testing.T) {
	inSignedWorld(t, func(t *testing.T, w *world) {
		t.Helper()
		w.applyAndWait(signedBy("alice", contract.Policies{"a": {Module: "alice's"}}))
		w.applyAndWait(signedBy("alice", contract.Policies{"a": {Module: "alice's", Settings: settings("1")}, "b": {Module: "alice's"}}))
		want(t, w, "a", `alice's {"say":"1"}`)
		want(t, w, "b", "alice's {}")
		if w.fetches() != 1 {
			t.Errorf("got fetches %q, want one", w.fetched)
		}
	})
}

// The bytes are here already, by way of a source that is signed.
func TestLoaderVerifiesEachSourceOfAModule(t *testing.T) {
	inSignedWorld(t, func(t *testing.T, w *world) {
		t.Helper()
		w.serve("copy", "alice's")
		digest := digestText("alice's")
		w.applyAndWait(signedBy("alice", contract.Policies{"a": {Module: "alice's", ModuleDigest: digest}}))
		w.applyAndWait(signedBy("alice", contract.Policies{
			"a": {Module: "alice's", ModuleDigest: digest}, "b": {Module: "copy", ModuleDigest: digest},
		}))
		want(t, w, "a", "alice's {}")
		want(t, w, "b", unverified("b"))
	})
}

func TestLoaderFallsBackOnNothingUnverified(t *testing.T) {
	inSignedWorld(t, func(t *testing.T, w *world) {
		t.Helper()
		broken := contract.Policies{
			"a": {Module: "alice's", Settings: settings("bad")}, "b": {Module: "bob's", Settings: settings("bad")},
			"g": groupOf("m(", map[string]string{"m": "bob's"}),
		}
		w.applyAndWait(signedBy("", contract.Policies{
			"a": {Module: "alice's"}, "b": {Module: "bob's"}, "r": {Module: "bob's"}, "g": groupOf("m()", map[string]string{"m": "bob's"}),
		}))
		w.applyAndWait(signedBy("", broken))
		want(t, w, "a", "alice's {}")
		want(t, w, "b", "bob's {}")

		// What serves on in the place of the broken entries is verified as they would be.
		w.applyAndWait(signedBy("alice", broken))
		want(t, w, "a", "alice's {}")
		for _, id := range []string{"b", "g"} {
			if revision, served := w.Snapshot().Policies[id]; served {
				t.Errorf("%s: the revision %s serves, whose module is not verified", id, revision.Revision)
			}
		}
		if got := w.ask(t, "b"); got == "bob's {}" {
			t.Error("b is answered by a module that is not verified")
		}
	})
}

func TestLoaderDropsWhatServesAnUnreadableEntryUnverified(t *testing.T) {
	inSignedWorld(t, func(t *testing.T, w *world) {
		t.Helper()
		unreadable := func(owner string) Wanted {
			wanted := signedBy(owner, contract.Policies{})
			wanted.Refused = map[string]error{"a": errors.New("no entry")}
			return wanted
		}
		w.applyAndWait(signedBy("bob", contract.Policies{"a": {Module: "bob's"}}))
		w.applyAndWait(unreadable("bob"))
		want(t, w, "a", "bob's {}")
		w.applyAndWait(unreadable("alice"))
		want(t, w, "a", "bootstrap failure: a: no entry")
	})
}

// Nobody can say whether the module has the signatures that are demanded now.
func TestLoaderServesNothingUnprovenWhileTheRegistryIsAway(t *testing.T) {
	inSignedWorld(t, func(t *testing.T, w *world) {
		t.Helper()
		policies := contract.Policies{"a": {Module: "alice's"}}
		w.applyAndWait(signedBy("bob", contract.Policies{"a": {Module: "bob's"}}))
		w.applyAndWait(signedBy("", policies))
		want(t, w, "a", "alice's {}")
		w.fail("alice's", classified{contract.ReasonFetchFailed})
		w.applyAndWait(signedBy("alice", policies))
		want(t, w, "a", "bootstrap failure: a: Error while downloading policy 'a' from alice's: made up: FetchFailed")
		w.fail("alice's", nil)
		time.Sleep(time.Second)
		w.applyAndWait(signedBy("alice", policies))
		want(t, w, "a", "alice's {}")
	})
}

func TestLoaderAsksAgainForSignaturesThatAreMissing(t *testing.T) {
	inSignedWorld(t, func(t *testing.T, w *world) {
		t.Helper()
		wanted := signedBy("alice", contract.Policies{"a": {Module: "nobody's"}})
		w.applyAndWait(wanted)
		want(t, w, "a", unverified("a"))
		w.sign("nobody's", "alice")
		time.Sleep(2 * time.Minute)
		w.applyAndWait(wanted)
		want(t, w, "a", "nobody's {}")
	})
}
