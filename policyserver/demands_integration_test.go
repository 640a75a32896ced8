//go:build integration

package policyserver

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
)

// The operator changes the ConfigMap of policies, the kubelet the mounted demands: each
// counts as it is now, whichever came last.
func TestLiveDropsWhatSignaturesAreNoLongerTrusted(t *testing.T) {
	from, alice, bob := newImages(t), newSigner(t), newSigner(t)
	signed := from.push(t, "signed", wasmtest.Answering(`{"accepted":false,"message":"signed"}`))
	from.sign(t, alice, signed)
	volume := &mounted{t: t, dir: t.TempDir()}
	put := func(demands []byte) { volume.put(map[string][]byte{"verification.yml": demands}) }
	put(alice.Verification())
	l := startLiveVerifying(t, from, contract.Policies{"a": {Module: signed}}, filepath.Join(volume.dir, "verification.yml"))
	l.waitReady(t)
	eventually(t, "the signed module in the report", func() bool { return l.enforces("a", contract.Entry{Module: signed}) })

	put(bob.Verification())
	eventually(t, "the report of what is no longer trusted", func() bool {
		report := l.reported()
		_, serves := report.Policies["a"]
		return !serves && report.Failures["a"].Reason == contract.ReasonUnverified
	})
	if got := l.ask(t, "a", "{}").Message; !strings.Contains(got, "cannot be verified") {
		t.Errorf("got %q from a module that is no longer trusted", got)
	}
	l.want(contract.Policies{"b": {Module: signed}})
	eventually(t, "the report of another policy with the same module", func() bool {
		return l.reported().Failures["b"].Reason == contract.ReasonUnverified
	})
	put(alice.Verification())
	eventually(t, "the module that is trusted again", func() bool { return l.enforces("b", contract.Entry{Module: signed}) })
}
