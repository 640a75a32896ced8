package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/signature"
)

const (
	// maxSignatures bounds how many layers of a signature artefact are looked at.
	maxSignatures = 64
	// maxPayloadBytes bounds one of them. Real ones have some hundred bytes.
	maxPayloadBytes = 64 << 10
)

// pullVerified pulls the module that the signed manifest names. Signatures are of
// manifests: a digest of the module alone says nothing about them.
func (c *Client) pullVerified(ctx context.Context, target name.Reference, digest string, options []remote.Option) ([]byte, error) {
	gathered, err := c.gather(target, c.demanded, options)
	if err != nil {
		return nil, err
	}
	signed, err := c.judge(gathered, digest)
	if err != nil {
		return nil, err
	}
	layer, err := remote.Layer(target.Context().Digest(signed), options...)
	if err != nil {
		return nil, err
	}
	module, err := c.pull(ctx, layer)
	if err != nil {
		return nil, err
	}
	if err := check(module, signed); err != nil {
		return nil, err
	}
	c.verified(signed, gathered)
	return module, nil
}

// gather reads the manifest and its signatures. The registry is asked for bundles only when
// the layers, which most artefacts are signed by, do not suffice.
func (c *Client) gather(target name.Reference, demand Demand, options []remote.Option) (evidence, error) {
	descriptor, err := remote.Get(target, options...)
	if err != nil {
		return evidence{}, err
	}
	gathered := evidence{Manifest: descriptor.Manifest}
	digest, err := gathered.manifestDigest()
	if err != nil {
		return evidence{}, err
	}
	if gathered.Layers, err = signatureLayers(target.Context(), digest, options); err != nil {
		return evidence{}, err
	}
	if c.checkProofs(demand, digest, gathered.proofs()) == nil {
		return gathered, nil
	}
	if gathered.Bundles, err = signatureBundles(target.Context(), digest, options); err != nil {
		return evidence{}, fmt.Errorf("get signatures that refer to the artefact: %w", err)
	}
	return gathered, nil
}

// Demand is an error unless the proofs meet what is demanded of an artefact whose manifest
// has the digest. signature.ErrNoTrust is in it where a trust root could still make the
// difference.
type Demand func(trust *signature.Trust, digest string, proofs []signature.Proof) error

// demanded is what modules must be signed with.
func (c *Client) demanded(trust *signature.Trust, digest string, proofs []signature.Proof) error {
	return signature.Check(*c.config.Verification, trust, digest, proofs)
}

// checkProofs asks for a trust root only when it can make a difference. That there is none
// yet is not the artefact's fault, and may pass.
func (c *Client) checkProofs(demand Demand, digest string, proofs []signature.Proof) error {
	err := demand(nil, digest, proofs)
	if errors.Is(err, signature.ErrNoTrust) && c.config.Trust != nil {
		trust, none := c.config.Trust()
		if none != nil {
			return refuse(contract.ReasonUnavailable, "%w\nThere is none now: %w", err, none)
		}
		err = demand(trust, digest, proofs)
	}
	if err != nil {
		return refuse(contract.ReasonUnverified, "%w", err)
	}
	return nil
}

// moduleDigest is the digest of the only module in a manifest.
func moduleDigest(raw []byte) (string, error) {
	manifest, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return "", refuse(contract.ReasonInvalidModule, "read manifest: %w", err)
	}
	var found []string
	for _, layer := range manifest.Layers {
		if layer.MediaType == MediaTypeModule {
			found = append(found, layer.Digest.String())
		}
	}
	if len(found) != 1 {
		return "", refuse(contract.ReasonInvalidModule, "the signed manifest has %d layers of type %s, want 1", len(found), MediaTypeModule)
	}
	return found[0], nil
}

// signatureLayers gives the signatures of the manifest of a digest; none where there is no
// signature artefact.
func signatureLayers(repository name.Repository, digest string, options []remote.Option) ([]signature.Layer, error) {
	descriptor, err := remote.Get(repository.Tag(signature.Tag(digest)), options...)
	var answer *transport.Error
	if errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get signatures: %w", err)
	}
	manifest, err := v1.ParseManifest(bytes.NewReader(descriptor.Manifest))
	if err != nil {
		return nil, refuse(contract.ReasonUnverified, "read manifest of the signatures: %w", err)
	}
	if len(manifest.Layers) > maxSignatures {
		return nil, refuse(contract.ReasonUnverified, "the artefact has %d signatures, allowed are %d", len(manifest.Layers), maxSignatures)
	}
	var layers []signature.Layer
	for _, layer := range manifest.Layers {
		if string(layer.MediaType) != signature.MediaType {
			continue
		}
		payload, err := readSmall(repository.Digest(layer.Digest.String()), maxPayloadBytes, options)
		var large tooLargeError
		switch {
		case errors.As(err, &large):
			return nil, refuse(contract.ReasonUnverified, "get signature: %w", err)
		case err != nil:
			return nil, fmt.Errorf("get signature: %w", err)
		}
		layers = append(layers, signature.Layer{Payload: payload, Annotations: layer.Annotations})
	}
	return layers, nil
}
