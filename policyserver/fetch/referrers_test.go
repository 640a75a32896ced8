package fetch

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/signature"
	"github.com/kubewarden/kubewarden-operator/test/sigstore"
)

// refer stores an artefact that refers to the manifest of a digest, as cosign stores a
// bundle: its type is that of its config.
func (h *host) refer(t *testing.T, of, predicate string, layers ...layer) {
	t.Helper()
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), signature.MediaTypeBundle)
	for _, next := range layers {
		var err error
		if image, err = mutate.AppendLayers(image, static.NewLayer(next.content, next.mediaType)); err != nil {
			t.Fatal(err)
		}
	}
	repository, err := name.NewRepository(h.address()+"/policies", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	transport := remote.WithTransport(h.Client().Transport)
	subject, err := remote.Head(repository.Digest(of), transport)
	if err != nil {
		t.Fatal(err)
	}
	image = mutate.Annotations(image, map[string]string{signature.AnnotationPredicate: predicate}).(v1.Image)
	image = mutate.Subject(image, *subject).(v1.Image)
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(repository.Digest(digest.String()), image, transport); err != nil {
		t.Fatal(err)
	}
}

func bundleLayer(bundle []byte) layer { return layer{bundle, signature.MediaTypeBundle} }

// byBundle signs the manifest of a digest with a key.
func byBundle(t *testing.T, key ed25519.PrivateKey, digest string) layer {
	t.Helper()
	sign := func(message []byte) []byte { return ed25519.Sign(key, message) }
	return bundleLayer(sigstore.KeyStatementBundle(t, sign, sigstore.Statement(t, signature.PredicateSign, digest, nil)))
}

// Registries list what refers to an artefact, or leave it to a tag.
func TestFetchVerifiesBundles(t *testing.T) {
	for name, listed := range map[string]bool{"listed": true, "by tag": false} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, registry.WithReferrersSupport(listed))
			h.StartTLS()
			key, wanted := newSigner(t)
			_, stranger, err := ed25519.GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			push := func(tag string) string { return h.push(t, tag, layer{module(tag), MediaTypeModule}) }

			signed := push("signed")
			h.refer(t, signed, signature.PredicateSign, byBundle(t, key, signed))
			strange := push("strange")
			h.refer(t, strange, signature.PredicateSign, byBundle(t, stranger, strange))
			moved := push("moved")
			h.refer(t, moved, signature.PredicateSign, byBundle(t, key, signed))
			second := push("second")
			h.sign(t, stranger, second, second)
			h.refer(t, second, signature.PredicateSign, bundleLayer([]byte("{")))
			h.refer(t, second, signature.PredicateSign, bundleLayer(make([]byte, maxBundleBytes+1)))
			h.refer(t, second, signature.PredicateSign)
			h.refer(t, second, signature.PredicateSign, byBundle(t, stranger, second))
			h.refer(t, second, signature.PredicateSign, byBundle(t, key, second))
			elsewise := push("elsewise")
			h.refer(t, elsewise, "https://spdx.dev/Document", byBundle(t, key, elsewise))
			layered := push("layered")
			h.refer(t, layered, signature.PredicateSign, layer{[]byte("{}"), "application/json"})
			large := push("large")
			h.refer(t, large, signature.PredicateSign, bundleLayer(make([]byte, maxBundleBytes+1)))

			c := verifyingClient(t, h, t.TempDir(), wanted)
			c.wantModule(h.url("signed"), "", module("signed"))
			c.wantModule(h.url("second"), "", module("second"))
			c.wantError(h.url("strange"), contract.ReasonUnverified, "a signature is not of this key")
			c.wantError(h.url("moved"), contract.ReasonUnverified, "a signature is of the artefact")
			c.wantError(h.url("layered"), contract.ReasonUnverified, "its artefact has 1 layers, want 1 of type")
			c.wantError(h.url("large"), contract.ReasonUnverified, "it is larger than")
			if listed { // a tag's list, as the registry library writes it, says nothing of predicates
				c.wantError(h.url("elsewise"), contract.ReasonUnverified, "the artefact has no signatures")
			}
		})
	}
}

func TestFetchBoundsBundles(t *testing.T) {
	h := newHost(t, registry.WithReferrersSupport(true))
	h.StartTLS()
	_, wanted := newSigner(t)
	digest := h.push(t, "many", layer{module("many"), MediaTypeModule})
	for i := range maxSignatures + 1 {
		h.refer(t, digest, signature.PredicateSign, bundleLayer(fmt.Appendf(nil, "bundle %d", i)))
	}
	verifyingClient(t, h, t.TempDir(), wanted).wantError(h.url("many"), contract.ReasonUnverified, "65 signatures refer to the artefact, allowed are 64")
}

// A registry that does not tell what refers to an artefact refuses the module at most;
// one that is out of order is asked again.
func TestFetchWithoutReferrers(t *testing.T) {
	for status, want := range map[int]contract.Reason{
		http.StatusUnauthorized:        contract.ReasonUnverified,
		http.StatusForbidden:           contract.ReasonUnverified,
		http.StatusMethodNotAllowed:    contract.ReasonUnverified,
		http.StatusTooManyRequests:     contract.ReasonFetchFailed,
		http.StatusInternalServerError: contract.ReasonFetchFailed,
	} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			h := newHost(t)
			answer := h.Config.Handler
			h.Config.Handler = http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
				if strings.Contains(request.URL.Path, "/referrers/") {
					writer.WriteHeader(status)
					return
				}
				answer.ServeHTTP(writer, request)
			})
			h.StartTLS()
			key, wanted := newSigner(t)
			signed := h.push(t, "signed", layer{module("signed"), MediaTypeModule})
			h.sign(t, key, signed, signed)
			h.push(t, "unsigned", layer{module("unsigned"), MediaTypeModule})
			c := verifyingClient(t, h, t.TempDir(), wanted)
			c.wantModule(h.url("signed"), "", module("signed"))
			c.wantError(h.url("unsigned"), want, "")
		})
	}
}
