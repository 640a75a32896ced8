package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kubewarden/kubewarden-operator/policies/build"
)

// Media types of a policy's artifact; upstream's (crate policy-fetcher, registry.rs).
const (
	mediaTypeConfig types.MediaType = "application/vnd.wasm.config.v1+json"
	mediaTypeModule types.MediaType = "application/vnd.wasm.content.layer.v1+wasm"
)

// emptyConfig is the artifact's configuration: there is nothing to configure.
var emptyConfig = []byte("{}")

// artifact is the OCI image that a policy is distributed as: one layer, the module.
type artifact struct {
	manifest []byte
	layer    v1.Layer
}

var _ partial.CompressedImageCore = artifact{}

func newArtifact(policy build.Policy) (v1.Image, error) {
	layer := static.NewLayer(policy.Module, mediaTypeModule)
	moduleDigest, err := layer.Digest()
	if err != nil {
		return nil, fmt.Errorf("digest module: %w", err)
	}
	configDigest, configSize, err := v1.SHA256(bytes.NewReader(emptyConfig))
	if err != nil {
		return nil, fmt.Errorf("digest configuration: %w", err)
	}
	manifest, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2,
		MediaType:     types.OCIManifestSchema1,
		Config:        v1.Descriptor{MediaType: mediaTypeConfig, Size: configSize, Digest: configDigest},
		Layers:        []v1.Descriptor{{MediaType: mediaTypeModule, Size: int64(len(policy.Module)), Digest: moduleDigest}},
		Annotations:   policy.Metadata.Annotations,
	})
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	return partial.CompressedToImage(artifact{manifest: manifest, layer: layer})
}

// RawConfigFile implements partial.CompressedImageCore.
func (a artifact) RawConfigFile() ([]byte, error) { return emptyConfig, nil }

// MediaType implements partial.CompressedImageCore.
func (a artifact) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

// RawManifest implements partial.CompressedImageCore.
func (a artifact) RawManifest() ([]byte, error) { return a.manifest, nil }

// LayerByDigest implements partial.CompressedImageCore.
func (a artifact) LayerByDigest(digest v1.Hash) (partial.CompressedLayer, error) {
	if own, err := a.layer.Digest(); err != nil || own != digest {
		return nil, errors.Join(fmt.Errorf("no layer %s", digest), err)
	}
	return a.layer, nil
}

// push pushes a policy and returns its reference with the artifact's digest.
func push(ctx context.Context, c config, policy build.Policy) (string, error) {
	reference, err := name.NewTag(fmt.Sprintf("%s/policies/%s:v%s", c.registry, policy.Name, policy.Version))
	if err != nil {
		return "", fmt.Errorf("push policy %s: %w", policy.Name, err)
	}
	image, err := newArtifact(policy)
	if err != nil {
		return "", fmt.Errorf("push policy %s: %w", policy.Name, err)
	}
	transport, err := newTransport(c.ca)
	if err != nil {
		return "", fmt.Errorf("push policy %s: %w", policy.Name, err)
	}
	err = remote.Write(reference, image, remote.WithContext(ctx), remote.WithTransport(transport),
		remote.WithAuthFromKeychain(authn.DefaultKeychain))
	if err != nil {
		return "", fmt.Errorf("push policy %s: %w", policy.Name, err)
	}
	digest, err := image.Digest()
	if err != nil {
		return "", fmt.Errorf("digest artifact of policy %s: %w", policy.Name, err)
	}
	return reference.Name() + "@" + digest.String(), nil
}

// newTransport trusts the authority in a file, or the system's when there is none.
func newTransport(caFile string) (http.RoundTripper, error) {
	if caFile == "" {
		return remote.DefaultTransport, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("read authority: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", caFile)
	}
	transport := remote.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return transport, nil
}
