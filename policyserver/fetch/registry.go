package fetch

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Media types of a policy in a registry: an OCI image manifest with this config and this
// one layer, which is the module as it is. They are upstream's (crate policy-fetcher,
// registry.rs).
const (
	MediaTypeConfig types.MediaType = "application/vnd.wasm.config.v1+json"
	MediaTypeModule types.MediaType = "application/vnd.wasm.content.layer.v1+wasm"
)

// fetchFromRegistry pulls an artefact by tag or digest. A digest of the module that is
// known already is pulled as it is: what its tag stands for now does not matter.
func (c *Client) fetchFromRegistry(ctx context.Context, reference, digest string) ([]byte, error) {
	target, err := parseReference(reference)
	if err != nil {
		return nil, err
	}
	module, from, err := askMirrored(ctx, c, target, func(ctx context.Context, target name.Reference, options []remote.Option) ([]byte, error) {
		module, err := c.pullTarget(ctx, target, digest, options)
		if err != nil {
			return nil, err
		}
		return module, check(module, digest)
	})
	if err == nil && len(c.config.Sources.Mirrors.Of(target.Context().Name())) > 0 {
		c.config.Logger.InfoContext(ctx, "module fetched", "module", target.String(), "from", from)
	}
	return module, err
}

func parseReference(reference string) (name.Reference, error) {
	parsed, err := name.ParseReference(reference)
	if err != nil {
		return nil, refuse(contract.ReasonInvalidEntry, "%w", err)
	}
	return parsed, nil
}

// errand is something to do at a registry.
type errand[T any] func(ctx context.Context, target name.Reference, options []remote.Option) (T, error)

// asked does an errand at the registry that a reference names.
func asked[T any](ctx context.Context, c *Client, reference string, do errand[T]) (found T, err error) {
	parsed, err := parseReference(reference)
	if err != nil {
		return found, err
	}
	return attempt(ctx, c, parsed.Context().RegistryStr(), func(ctx context.Context, try try) (T, error) {
		var nothing T
		keychain := newLenientKeychain(c)
		options := []remote.Option{
			remote.WithContext(ctx),
			remote.WithTransport(try.transport),
			remote.WithAuthFromKeychain(keychain),
			remote.WithRetryBackoff(remote.Backoff{Steps: 1}), // whoever wants something tries again
		}
		var naming []name.Option
		if try.lenient {
			naming = append(naming, name.Insecure)
		}
		target, err := name.ParseReference(reference, naming...)
		if err != nil {
			return nothing, err
		}
		found, err := do(ctx, target, options)
		return found, keychain.explain(err)
	})
}

func (c *Client) pullTarget(ctx context.Context, target name.Reference, digest string, options []remote.Option) ([]byte, error) {
	if c.config.Verification != nil {
		return c.pullVerified(ctx, target, digest, options)
	}
	layer, err := findLayer(target, digest, options)
	if err != nil {
		return nil, err
	}
	return c.pull(ctx, layer)
}

// findLayer finds the layer that is the module.
func findLayer(target name.Reference, digest string, options []remote.Option) (v1.Layer, error) {
	if digest != "" {
		return remote.Layer(target.Context().Digest(digest), options...)
	}
	descriptor, err := remote.Get(target, options...)
	if err != nil {
		return nil, err
	}
	image, err := descriptor.Image()
	if err != nil {
		return nil, err
	}
	manifest, err := image.Manifest()
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	for _, candidate := range manifest.Layers {
		if candidate.MediaType == MediaTypeModule {
			return image.LayerByDigest(candidate.Digest)
		}
	}
	return nil, refuse(contract.ReasonInvalidModule, "the artefact %s has no layer of type %s", target, MediaTypeModule)
}

// pull gives the bytes of a layer; the reader checks their digest.
func (c *Client) pull(ctx context.Context, layer v1.Layer) ([]byte, error) {
	digest, err := layer.Digest()
	if err != nil {
		return nil, err
	}
	if module := c.stored(ctx, digest.String()); module != nil {
		return module, nil
	}
	if size, err := layer.Size(); err == nil && size > c.config.MaxModuleBytes {
		return nil, c.tooLarge()
	}
	reader, err := layer.Compressed()
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	return c.readAll(reader, 0)
}
