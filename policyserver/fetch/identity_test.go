package fetch

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/signature"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/signature/signaturetest"
	"github.com/kubewarden/kubewarden-operator/test/sigstore"
)

// signAs stores a signature of a manifest by an identity, as cosign does.
func (h *host) signAs(t *testing.T, s *sigstore.Sigstore, signer sigstore.Signer, digest string) {
	t.Helper()
	payload, err := signaturetest.Payload(digest, nil)
	if err != nil {
		t.Fatal(err)
	}
	repository, err := name.NewRepository(h.address()+"/policies", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	transport := remote.WithTransport(h.Client().Transport)
	if err := signaturetest.Attach(repository.Digest(digest), payload, []map[string]string{s.Layer(t, signer, payload)}, transport); err != nil {
		t.Fatal(err)
	}
}

func TestFetchVerifiesIdentities(t *testing.T) {
	h, s, foreign := newTLSHost(t), sigstore.New(t), sigstore.New(t)
	alice := sigstore.Signer{Issuer: "https://oidc.test", Email: "alice@test"}
	mallory := sigstore.Signer{Issuer: "https://oidc.test", Email: "mallory@test"}
	push := func(tag string) string { return h.push(t, tag, layer{module(tag), MediaTypeModule}) }
	h.signAs(t, s, alice, push("layer"))
	bundled := push("bundle")
	h.refer(t, bundled, signature.PredicateSign, bundleLayer(s.StatementBundle(t, alice, sigstore.Statement(t, signature.PredicateSign, bundled, nil))))
	h.signAs(t, s, mallory, push("mallory"))
	h.signAs(t, foreign, alice, push("foreign"))
	push("unsigned")

	trust, err := signature.ParseTrust(s.TrustedRoot(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	wanted := &contract.Verification{AllOf: []contract.Signature{{
		Kind: contract.SignatureGenericIssuer, Issuer: alice.Issuer, Subject: contract.Subject{Equal: alice.Email},
	}}}
	clientWith := func(source func() (*signature.Trust, error)) testClient {
		return testClient{New(Config{Dir: t.TempDir(), Sources: h.trusted(), Timeout: 10 * time.Second, Verification: wanted, Trust: source}), t}
	}
	c := clientWith(func() (*signature.Trust, error) { return trust, nil })
	c.wantModule(h.url("layer"), "", module("layer"))
	c.wantModule(h.url("bundle"), "", module("bundle"))
	c.wantError(h.url("mallory"), contract.ReasonUnverified, `of subject "mallory@test", want "alice@test"`)
	c.wantError(h.url("foreign"), contract.ReasonUnverified, "not enough verified log entries")
	c.wantError(h.url("unsigned"), contract.ReasonUnverified, "the artefact has no signatures")

	clientWith(nil).wantError(h.url("layer"), contract.ReasonUnverified, "without a trust root of Sigstore")
	later := clientWith(func() (*signature.Trust, error) { return nil, errors.New("still on its way") })
	later.wantError(h.url("layer"), contract.ReasonUnavailable, "There is none now: still on its way")
}

// Keys need no trust root, so nobody is asked for one.
func TestFetchAsksForNoTrustWithoutNeed(t *testing.T) {
	h := newTLSHost(t)
	key, wanted := newSigner(t)
	signed := h.push(t, "signed", layer{module("signed"), MediaTypeModule})
	h.sign(t, key, signed, signed)
	h.push(t, "unsigned", layer{module("unsigned"), MediaTypeModule})
	c := testClient{New(Config{
		Dir: t.TempDir(), Sources: h.trusted(), Timeout: 10 * time.Second, Verification: wanted,
		Trust: func() (*signature.Trust, error) {
			t.Error("asked for a trust root")
			return nil, errors.New("none")
		},
	}), t}
	c.wantModule(h.url("signed"), "", module("signed"))
	c.wantError(h.url("unsigned"), contract.ReasonUnverified, "the artefact has no signatures")
}
