package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/kubewarden/kubewarden-operator/policies/build"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/metadata"
)

func TestPush(t *testing.T) {
	server := httptest.NewTLSServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	policy := build.Policy{
		Name: "mine", Version: "1.2.3", Module: []byte("\x00asm\x01\x00\x00\x00"),
		Metadata: metadata.Metadata{Annotations: map[string]string{"io.kubewarden.policy.title": "mine"}},
	}
	host := strings.TrimPrefix(server.URL, "https://")
	pushed, err := push(t.Context(), config{registry: host, ca: ca}, policy)
	if err != nil {
		t.Fatal(err)
	}
	if want := host + "/policies/mine:v1.2.3@sha256:"; !strings.HasPrefix(pushed, want) {
		t.Errorf("got %s, want %s...", pushed, want)
	}

	reference, err := name.ParseReference(pushed)
	if err != nil {
		t.Fatal(err)
	}
	image, err := remote.Image(reference, remote.WithTransport(server.Client().Transport))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := image.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.manifest.v1+json",
  "config": {
    "mediaType": "application/vnd.wasm.config.v1+json",
    "size": 2,
    "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
  },
  "layers": [
    {
      "mediaType": "application/vnd.wasm.content.layer.v1+wasm",
      "size": 8,
      "digest": "sha256:93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476"
    }
  ],
  "annotations": {
    "io.kubewarden.policy.title": "mine"
  }
}`
	var got bytes.Buffer
	if err := json.Indent(&got, raw, "", "  "); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("manifest: -want +got\n%s", diff)
	}
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	blob, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	if content, err := io.ReadAll(blob); err != nil || !bytes.Equal(content, policy.Module) {
		t.Errorf("got module %q, %v, want %q", content, err, policy.Module)
	}

	if _, err := push(t.Context(), config{registry: host}, policy); err == nil {
		t.Error("pushed to a registry whose certificate nobody vouches for")
	}
}

func TestRunRefusesBadArguments(t *testing.T) {
	if err := run(t.Context(), config{ca: "x"}, io.Discard); err == nil || err.Error() != "--ca x: it says nothing without --push" {
		t.Errorf("got %v, want an error about --ca", err)
	}
}
