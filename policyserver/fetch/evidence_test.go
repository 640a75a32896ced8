package fetch

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// keptModule is a signed module that was fetched into a store, by a registry that is away
// now.
type keptModule struct {
	t           *testing.T
	host        *host
	dir, digest string
	wanted      *contract.Verification
}

func keepModule(t *testing.T) *keptModule {
	t.Helper()
	h := newTLSHost(t)
	key, wanted := newSigner(t)
	signed := h.push(t, "v1", layer{module("one"), MediaTypeModule})
	h.sign(t, key, signed, signed)
	k := &keptModule{t, h, t.TempDir(), digestOf(module("one")), wanted}
	verifyingClient(t, h, k.dir, wanted).wantModule(h.url("v1"), "", module("one"))
	h.CloseClientConnections()
	h.Close()
	return k
}

// client is one that begins anew with what the store has.
func (k *keptModule) client(wanted *contract.Verification) testClient {
	k.t.Helper()
	return verifyingClient(k.t, k.host, k.dir, wanted)
}

func (k *keptModule) wantRefused(wanted *contract.Verification, tag, digest string) {
	k.t.Helper()
	if got, err := k.client(wanted).Fetch(k.t.Context(), k.host.url(tag), digest); err == nil {
		k.t.Errorf("got %q, want nothing", got)
	}
}

func TestFetchVerifiesByTheEvidenceThatIsKept(t *testing.T) {
	k := keepModule(t)
	k.client(k.wanted).wantModule(k.host.url("v1"), k.digest, module("one"))
}

// What a tag stands for only the registry knows, and what is behind another URL, too.
func TestFetchKeepsEvidenceForTheSourceAndTheModuleAlone(t *testing.T) {
	k := keepModule(t)
	k.wantRefused(k.wanted, "v1", "")
	k.wantRefused(k.wanted, "v2", k.digest)
	k.wantRefused(k.wanted, "v1", digestOf(module("two")))
}

func TestFetchJudgesKeptEvidenceByTheDemandsOfToday(t *testing.T) {
	k := keepModule(t)
	_, other := newSigner(t)
	k.wantRefused(other, "v1", k.digest)
	both := &contract.Verification{AllOf: append(k.wanted.AllOf, other.AllOf...)}
	k.wantRefused(both, "v1", k.digest)
	one := &contract.Verification{AnyOf: &contract.AnyOf{MinimumMatches: 1, Signatures: both.AllOf}}
	k.client(one).wantModule(k.host.url("v1"), k.digest, module("one"))
}

// Whoever writes into the store changes nothing but that the registry is asked.
func TestFetchBelievesNothingThatIsStored(t *testing.T) {
	for name, forge := range map[string]func(k *keptModule){
		"a module": func(k *keptModule) { writeFile(k.t, store{dir: k.dir}.path(k.digest), module("forged")) },
		"evidence that is none": func(k *keptModule) {
			writeFile(k.t, store{dir: k.dir}.evidencePath(k.host.url("v1"), k.digest), []byte("{"))
		},
		"evidence of another module": func(k *keptModule) {
			forged := module("forged")
			if err := (store{dir: k.dir}).put(forged); err != nil {
				k.t.Fatal(err)
			}
			kept, err := os.ReadFile(store{dir: k.dir}.evidencePath(k.host.url("v1"), k.digest))
			if err != nil {
				k.t.Fatal(err)
			}
			k.digest = digestOf(forged)
			writeFile(k.t, store{dir: k.dir}.evidencePath(k.host.url("v1"), k.digest), kept)
		},
		"a manifest that was not signed": func(k *keptModule) {
			path := store{dir: k.dir}.evidencePath(k.host.url("v1"), k.digest)
			kept, err := store{dir: k.dir}.evidence(k.host.url("v1"), k.digest)
			if err != nil {
				k.t.Fatal(err)
			}
			kept.Manifest = append(kept.Manifest, '\n')
			if err := os.RemoveAll(filepath.Dir(path)); err != nil {
				k.t.Fatal(err)
			}
			if err := (store{dir: k.dir}).keepEvidence(k.host.url("v1"), k.digest, kept); err != nil {
				k.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := keepModule(t)
			forge(k)
			k.wantRefused(k.wanted, "v1", k.digest)
		})
	}
}
