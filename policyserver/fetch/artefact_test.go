package fetch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// imageOf is an image whose configuration names a user.
func imageOf(t *testing.T, user string) v1.Image {
	t.Helper()
	image, err := mutate.Config(empty.Image, v1.Config{User: user})
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// indexOf has an image for this platform, after one for another.
func indexOf(t *testing.T, here v1.Image) v1.ImageIndex {
	t.Helper()
	on := func(image v1.Image, os, architecture string) mutate.IndexAddendum {
		return mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: os, Architecture: architecture}}}
	}
	return mutate.AppendManifests(empty.Index, on(imageOf(t, "elsewhere"), "plan9", runtime.GOARCH), on(here, "linux", runtime.GOARCH))
}

// put stores something under policies:<tag> and gives its digest.
func (h *host) put(t *testing.T, tag string, what remote.Taggable) string {
	t.Helper()
	reference, err := name.ParseReference(h.address()+"/policies:"+tag, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	options := []remote.Option{remote.WithTransport(h.Client().Transport)}
	switch what := what.(type) {
	case v1.Image:
		err = remote.Write(reference, what, options...)
	case v1.ImageIndex:
		err = remote.WriteIndex(reference, what, options...)
	default:
		err = remote.Put(reference, what, options...)
	}
	if err != nil {
		t.Fatal(err)
	}
	content, err := what.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	return digestOf(content)
}

// raw is a manifest that may be none.
type raw struct {
	content   []byte
	mediaType types.MediaType
}

func (r raw) RawManifest() ([]byte, error) { return r.content, nil }

func (r raw) MediaType() (types.MediaType, error) { return r.mediaType, nil }

// named is a reference to a tag, or to a digest.
func (h *host) named(identifier string) string {
	if strings.HasPrefix(identifier, "sha256:") {
		return h.address() + "/policies@" + identifier
	}
	return h.address() + "/policies:" + identifier
}

func TestReadArtefacts(t *testing.T) {
	h := newTLSHost(t)
	image := imageOf(t, "jane")
	digest := h.put(t, "image", image)
	index := indexOf(t, image)
	indexDigest := h.put(t, "index", index)
	content, err := image.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	indexContent, err := index.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	c := client(t, h.trusted())
	for _, tc := range []struct {
		reference, digest string
		manifest          []byte
	}{
		{"image", digest, content},
		{digest, digest, content},
		{"index", indexDigest, indexContent},
		{indexDigest, indexDigest, indexContent},
	} {
		got, err := c.Digest(t.Context(), h.named(tc.reference))
		if err != nil || got != tc.digest {
			t.Errorf("digest of %s: got %s, %v, want %s", tc.reference, got, err, tc.digest)
		}
		manifest, err := c.Manifest(t.Context(), h.named(tc.reference))
		if err != nil || !bytes.Equal(manifest, tc.manifest) {
			t.Errorf("manifest of %s: got %s, %v, want %s", tc.reference, manifest, err, tc.manifest)
		}
		read, err := c.Image(t.Context(), h.named(tc.reference))
		if err != nil || read.Digest != digest || !bytes.Equal(read.Manifest, content) {
			t.Errorf("image of %s: got %s %s, %v, want %s %s", tc.reference, read.Digest, read.Manifest, err, digest, content)
		}
		var config struct{ Config struct{ User string } }
		if err := json.Unmarshal(read.Config, &config); err != nil || config.Config.User != "jane" {
			t.Errorf("configuration of %s: got %s, %v, want the user jane", tc.reference, read.Config, err)
		}
	}
}

// Not all registries answer a HEAD.
func TestReadDigestWithoutHead(t *testing.T) {
	h := newHost(t)
	answer := h.Config.Handler
	h.Config.Handler = http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		if request.Method == http.MethodHead {
			writer.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		answer.ServeHTTP(writer, request)
	})
	h.StartTLS()
	reference, err := name.ParseReference(h.named("image"), name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	manifest := raw{[]byte(`{"schemaVersion":2}`), types.OCIManifestSchema1}
	if err := remote.Put(reference, manifest, remote.WithTransport(h.Client().Transport)); err != nil {
		t.Fatal(err)
	}
	got, err := client(t, h.trusted()).Digest(t.Context(), h.named("image"))
	if err != nil || got != digestOf(manifest.content) {
		t.Errorf("got %s, %v, want %s", got, err, digestOf(manifest.content))
	}
}

// What is read for policies comes by the same ways as modules.
func TestReadFollowsSources(t *testing.T) {
	registry, mirror, plain, closed := newTLSHost(t), newTLSHost(t), newPlainHost(t), newTLSHost(t)
	want := mirror.put(t, "image", imageOf(t, "jane"))
	plain.put(t, "image", imageOf(t, "jane"))
	closed.put(t, "image", imageOf(t, "jane"))
	closed.password = "secret"
	var log strings.Builder
	for at, c := range map[string]testClient{
		registry.named("image"): mirrored(t, &log, []string{mirror.address()}, registry, mirror),
		plain.named("image"):    client(t, plain.insecure()),
		closed.named("image"): {New(Config{
			Dir: t.TempDir(), Sources: closed.trusted(), Keychain: keychain{credentials: &authn.Basic{Username: "user", Password: "secret"}},
		}), t},
	} {
		if got, err := c.Digest(t.Context(), at); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", at, got, err, want)
		}
		if got, err := c.Image(t.Context(), at); err != nil || got.Digest != want {
			t.Errorf("%s: got image %s, %v, want %s", at, got.Digest, err, want)
		}
	}
	for at, c := range map[string]testClient{
		plain.named("image"):    client(t, contract.Sources{}),
		mirror.named("image"):   client(t, contract.Sources{}),
		closed.named("image"):   client(t, closed.trusted()),
		registry.named("image"): client(t, registry.trusted()),
	} {
		if got, err := c.Digest(t.Context(), at); err == nil {
			t.Errorf("%s: got %s, want an error", at, got)
		}
	}
}

// configured stores a manifest whose configuration may be anything.
func (h *host) configured(t *testing.T, tag string, config []byte) {
	t.Helper()
	repository, err := name.NewRepository(h.address()+"/policies", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	blob := static.NewLayer(config, types.OCIConfigJSON)
	if err := remote.WriteLayer(repository, blob, remote.WithTransport(h.Client().Transport)); err != nil {
		t.Fatal(err)
	}
	h.put(t, tag, raw{fmt.Appendf(nil, `{"schemaVersion":2,"config":{"digest":%q}}`, digestOf(config)), types.OCIManifestSchema1})
}

func TestReadRefusesArtefacts(t *testing.T) {
	oci := types.OCIManifestSchema1
	h := newHost(t)
	answer := h.Config.Handler
	h.Config.Handler = http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		content, isNone := map[string]string{"text": `"text"`, "broken": `{`}[path.Base(request.URL.Path)]
		if !isNone {
			answer.ServeHTTP(writer, request)
			return
		}
		writer.Header().Set("Content-Type", string(oci))
		_, _ = writer.Write([]byte(content))
	})
	h.StartTLS()
	h.put(t, "schema1", raw{[]byte(`{"schemaVersion":1}`), types.DockerManifestSchema1Signed})
	h.put(t, "unknown", raw{[]byte(`{"schemaVersion":2}`), "application/x"})
	h.put(t, "large", raw{fmt.Appendf(nil, `{"annotations":{"a":"%s"}}`, strings.Repeat("a", maxManifestBytes)), oci})
	h.put(t, "bare", raw{[]byte(`{"schemaVersion":2}`), oci})
	h.put(t, "elsewhere", mutate.AppendManifests(empty.Index, mutate.IndexAddendum{
		Add: imageOf(t, "elsewhere"), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "plan9", Architecture: "386"}},
	}))
	h.put(t, "nested", mutate.AppendManifests(empty.Index, mutate.IndexAddendum{
		Add: indexOf(t, imageOf(t, "deep")), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: runtime.GOARCH}},
	}))
	h.configured(t, "text-config", []byte("text"))
	h.configured(t, "large-config", fmt.Appendf(nil, "%q", strings.Repeat("a", maxImageConfigBytes)))
	h.put(t, "gone-config", raw{fmt.Appendf(nil, `{"schemaVersion":2,"config":{"digest":%q}}`, digestOf([]byte("gone"))), oci})
	c := client(t, h.trusted())
	manifest := func(reference string) error {
		_, err := c.Manifest(t.Context(), reference)
		return err
	}
	image := func(reference string) error {
		_, err := c.Image(t.Context(), reference)
		return err
	}
	for name, tc := range map[string]struct {
		read      func(string) error
		reference string
		reason    contract.Reason
		want      string
	}{
		"old":            {manifest, h.named("schema1"), contract.ReasonInvalidModule, `is of type "application/vnd.docker.distribution.manifest.v1+prettyjws"; allowed are`},
		"unknown":        {manifest, h.named("unknown"), contract.ReasonInvalidModule, `is of type "application/x"; allowed are`},
		"a text":         {manifest, h.named("text"), contract.ReasonInvalidModule, "is no JSON object"},
		"no JSON":        {manifest, h.named("broken"), contract.ReasonInvalidModule, "is no JSON object"},
		"large":          {manifest, h.named("large"), contract.ReasonInvalidModule, "bytes, at most 4194304 are allowed"},
		"absent":         {manifest, h.named("absent"), contract.ReasonModuleNotFound, ""},
		"no reference":   {manifest, "UPPER", contract.ReasonInvalidEntry, "could not parse reference: UPPER"},
		"no config":      {image, h.named("bare"), contract.ReasonFetchFailed, ""},
		"no platform":    {image, h.named("elsewhere"), contract.ReasonModuleNotFound, "has no image for linux/" + runtime.GOARCH},
		"an index in it": {image, h.named("nested"), contract.ReasonModuleNotFound, "has no image for linux/" + runtime.GOARCH},
		"config no JSON": {image, h.named("text-config"), contract.ReasonInvalidModule, "the configuration of"},
		"config large":   {image, h.named("large-config"), contract.ReasonInvalidModule, "it is larger than 4194304 bytes"},
		"config gone":    {image, h.named("gone-config"), contract.ReasonModuleNotFound, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := tc.read(tc.reference)
			got, is := errors.AsType[*Error](err)
			if !is || got.Reason() != tc.reason || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want reason %s and %q", err, tc.reason, tc.want)
			}
		})
	}
}
