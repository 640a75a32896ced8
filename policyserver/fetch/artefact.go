package fetch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"runtime"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Artefacts are read of registries for policies, too: with the same trust, credentials and
// mirrors as modules, and into no store.

const (
	// maxManifestBytes bounds a manifest: registries need not take larger ones (OCI
	// distribution specification, pushing manifests).
	maxManifestBytes = 4 << 20
	// maxImageConfigBytes bounds the configuration of an image.
	maxImageConfigBytes = 4 << 20
)

// Image is what a registry tells of an image.
type Image struct {
	// Digest is that of the manifest: "sha256:" and 64 hex digits.
	Digest string
	// Manifest and Config are JSON as it came.
	Manifest, Config json.RawMessage
}

// Digest gives the digest of what a reference names: of an image, or of an index of images.
// Any error is an *Error.
func (c *Client) Digest(ctx context.Context, reference string) (string, error) {
	return read(ctx, c, reference, digestAt)
}

// Manifest gives what a reference names, the manifest of an image or an index of images, in
// JSON as it came. Any error is an *Error.
func (c *Client) Manifest(ctx context.Context, reference string) (json.RawMessage, error) {
	return read(ctx, c, reference, func(_ context.Context, target name.Reference, options []remote.Option) (json.RawMessage, error) {
		descriptor, err := manifestAt(target, options)
		if err != nil {
			return nil, err
		}
		return descriptor.Manifest, nil
	})
}

// Image gives the manifest and the configuration of an image. Of an index, it is the image
// for this server's platform. Any error is an *Error.
func (c *Client) Image(ctx context.Context, reference string) (Image, error) {
	return read(ctx, c, reference, imageAt)
}

// Verify gives the digest of what a reference names, provided that it meets the demand. It is
// the very manifest that was verified, whatever becomes of a tag. Any error is an *Error.
func (c *Client) Verify(ctx context.Context, reference string, demand Demand) (string, error) {
	return read(ctx, c, reference, func(_ context.Context, target name.Reference, options []remote.Option) (string, error) {
		gathered, err := c.gather(target, demand, options)
		if err != nil {
			return "", err
		}
		digest, err := gathered.manifestDigest()
		if err != nil {
			return "", err
		}
		proofs := gathered.proofs()
		if len(proofs) == 0 {
			return "", refuse(contract.ReasonUnverified, "no signatures found for image: %s", target)
		}
		return digest, c.checkProofs(demand, digest, proofs)
	})
}

func read[T any](ctx context.Context, c *Client, reference string, do errand[T]) (found T, err error) {
	target, err := parseReference(reference)
	if err != nil {
		return found, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	found, _, err = askMirrored(ctx, c, target, do)
	if err != nil {
		return found, classify(err)
	}
	return found, nil
}

// digestAt asks for no more than is needed: some registries count manifests. Where that does
// not tell, the manifest does.
func digestAt(_ context.Context, target name.Reference, options []remote.Option) (string, error) {
	if told, err := remote.Head(target, options...); err == nil {
		return told.Digest.String(), nil
	}
	descriptor, err := manifestAt(target, options)
	if err != nil {
		return "", err
	}
	return digestOf(descriptor.Manifest), nil
}

func manifestAt(target name.Reference, options []remote.Option) (*remote.Descriptor, error) {
	descriptor, err := remote.Get(target, options...)
	if err != nil {
		return nil, err
	}
	switch {
	case !descriptor.MediaType.IsImage() && !descriptor.MediaType.IsIndex():
		return nil, refuse(contract.ReasonInvalidModule, "the manifest of %s is of type %q; allowed are %s, %s, %s and %s", target, descriptor.MediaType,
			types.OCIManifestSchema1, types.OCIImageIndex, types.DockerManifestSchema2, types.DockerManifestList)
	case len(descriptor.Manifest) > maxManifestBytes:
		return nil, refuse(contract.ReasonInvalidModule, "the manifest of %s has %d bytes, at most %d are allowed", target, len(descriptor.Manifest), maxManifestBytes)
	case !isObject(descriptor.Manifest):
		return nil, refuse(contract.ReasonInvalidModule, "the manifest of %s is no JSON object", target)
	}
	return descriptor, nil
}

func imageAt(_ context.Context, target name.Reference, options []remote.Option) (Image, error) {
	descriptor, err := manifestAt(target, options)
	if err != nil {
		return Image{}, err
	}
	if descriptor.MediaType.IsIndex() {
		of, err := forThisPlatform(target, descriptor.Manifest)
		if err != nil {
			return Image{}, err
		}
		target = target.Context().Digest(of.String())
		if descriptor, err = manifestAt(target, options); err != nil {
			return Image{}, err
		}
	}
	if !descriptor.MediaType.IsImage() {
		return Image{}, refuse(contract.ReasonInvalidModule, "%s is no image: its manifest is of type %q", target, descriptor.MediaType)
	}
	manifest, err := v1.ParseManifest(bytes.NewReader(descriptor.Manifest))
	if err != nil {
		return Image{}, refuse(contract.ReasonInvalidModule, "read the manifest of %s: %w", target, err)
	}
	config, err := readSmall(target.Context().Digest(manifest.Config.Digest.String()), maxImageConfigBytes, options)
	if large, is := errors.AsType[tooLargeError](err); is {
		return Image{}, refuse(contract.ReasonInvalidModule, "the configuration of %s: %w", target, large)
	}
	if err != nil {
		return Image{}, err
	}
	if !json.Valid(config) {
		return Image{}, refuse(contract.ReasonInvalidModule, "the configuration of %s is no JSON", target)
	}
	return Image{Digest: digestOf(descriptor.Manifest), Manifest: descriptor.Manifest, Config: config}, nil
}

// forThisPlatform finds the image of an index that could run here.
func forThisPlatform(target name.Reference, index []byte) (v1.Hash, error) {
	listed, err := v1.ParseIndexManifest(bytes.NewReader(index))
	if err != nil {
		return v1.Hash{}, refuse(contract.ReasonInvalidModule, "read the index %s: %w", target, err)
	}
	here := v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	for _, candidate := range listed.Manifests {
		if candidate.MediaType.IsImage() && candidate.Platform != nil && candidate.Platform.Satisfies(here) {
			return candidate.Digest, nil
		}
	}
	return v1.Hash{}, refuse(contract.ReasonModuleNotFound, "the index %s has no image for %s", target, here)
}

func isObject(content []byte) bool {
	return json.Valid(content) && bytes.HasPrefix(bytes.TrimSpace(content), []byte("{"))
}
