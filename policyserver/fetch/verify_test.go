package fetch

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/signature"
)

// newSigner gives a key and the verification that demands it.
func newSigner(t *testing.T) (ed25519.PrivateKey, *contract.Verification) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	return private, &contract.Verification{AllOf: []contract.Signature{{Kind: contract.SignaturePubKey, Key: text}}}
}

// sign stores a signature of one manifest where that of another belongs; mostly they are
// the same.
func (h *host) sign(t *testing.T, key ed25519.PrivateKey, of, place string) {
	t.Helper()
	payload := fmt.Appendf(nil, `{"critical":{"type":"cosign container image signature","image":{"docker-manifest-digest":%q}}}`, of)
	image, err := mutate.Append(mutate.MediaType(empty.Image, types.OCIManifestSchema1), mutate.Addendum{
		Layer:       static.NewLayer(payload, signature.MediaType),
		Annotations: map[string]string{signature.AnnotationSignature: base64.StdEncoding.EncodeToString(ed25519.Sign(key, payload))},
	})
	if err != nil {
		t.Fatal(err)
	}
	reference, err := name.ParseReference(h.address()+"/policies:"+signature.Tag(place), name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(reference, image, remote.WithTransport(h.Client().Transport)); err != nil {
		t.Fatal(err)
	}
}

func verifyingClient(t *testing.T, h *host, dir string, verification *contract.Verification) testClient {
	t.Helper()
	return testClient{New(Config{Dir: dir, Sources: h.trusted(), Timeout: 10 * time.Second, Verification: verification}), t}
}

func TestFetchVerifies(t *testing.T) {
	h := newTLSHost(t)
	key, wanted := newSigner(t)
	stranger, _ := newSigner(t)
	signed := h.push(t, "signed", layer{module("signed"), MediaTypeModule})
	h.sign(t, key, signed, signed)
	h.push(t, "unsigned", layer{module("unsigned"), MediaTypeModule})
	strange := h.push(t, "strange", layer{module("strange"), MediaTypeModule})
	h.sign(t, stranger, strange, strange)
	moved := h.push(t, "moved", layer{module("moved"), MediaTypeModule})
	h.sign(t, key, signed, moved)
	double := h.push(t, "double", layer{module("a"), MediaTypeModule}, layer{module("b"), MediaTypeModule})
	h.sign(t, key, double, double)

	c := verifyingClient(t, h, t.TempDir(), wanted)
	for range 2 { // the second time out of the store
		c.wantModule(h.url("signed"), "", module("signed"))
		c.wantModule(h.url("signed"), digestOf(module("signed")), module("signed"))
	}
	c.wantError(h.url("unsigned"), contract.ReasonUnverified, "the artefact has no signatures")
	c.wantError(h.url("strange"), contract.ReasonUnverified, "a signature is not of this key")
	c.wantError(h.url("moved"), contract.ReasonUnverified, "a signature is of the artefact")
	c.wantError(h.url("double"), contract.ReasonInvalidModule, "has 2 layers")
	c.wantError(h.url("absent"), contract.ReasonModuleNotFound, "")
	c.wantError("https://"+h.address()+"/module.wasm", contract.ReasonUnverified, "modules behind https://")
	c.wantError("http://"+h.address()+"/module.wasm", contract.ReasonUnverified, "modules behind http://")
	file := filepath.Join(t.TempDir(), "module.wasm")
	writeFile(t, file, module("file"))
	c.wantError("file://"+file, contract.ReasonUnverified, "modules behind file://")
}

// A module that is in the store, from a time when nothing was demanded, is no exception.
func TestFetchVerifiesWhatIsStored(t *testing.T) {
	h := newTLSHost(t)
	_, wanted := newSigner(t)
	h.push(t, "v1", layer{module("one"), MediaTypeModule})
	dir, digest := t.TempDir(), digestOf(module("one"))
	verifyingClient(t, h, dir, nil).wantModule(h.url("v1"), "", module("one"))
	c := verifyingClient(t, h, dir, wanted)
	got, err := c.Fetch(t.Context(), h.url("v1"), digest)
	if err == nil || bytes.Equal(got, module("one")) || !strings.Contains(err.Error(), "the artefact has no signatures") {
		t.Errorf("got module %q, error %v; want none, and that there are no signatures", got, err)
	}
}

// A pin of a module that the signed manifest does not name is not verified by it.
func TestFetchVerifiesThePinnedModule(t *testing.T) {
	h := newTLSHost(t)
	key, wanted := newSigner(t)
	h.push(t, "old", layer{module("old"), MediaTypeModule})
	signed := h.push(t, "v1", layer{module("new"), MediaTypeModule})
	h.sign(t, key, signed, signed)
	_, err := verifyingClient(t, h, t.TempDir(), wanted).Fetch(t.Context(), h.url("v1"), digestOf(module("old")))
	if err == nil || !strings.Contains(err.Error(), "the signed manifest "+signed+" has the module "+digestOf(module("new"))) {
		t.Errorf("got %v, want that the manifest has another module", err)
	}
}
