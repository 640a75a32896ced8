package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/signature"
)

// A module that was verified once must not depend on its registry for ever. What the
// signatures were checked by is kept beside the module and judged again, by the demands of
// that moment, whenever the module is asked for: the store is believed in nothing.

// maxEvidenceBytes bounds what is read back. It is more than a registry may send.
const maxEvidenceBytes = 32 << 20

// evidence is what a registry gave of a module that is to be verified.
type evidence struct {
	Manifest []byte            `json:"manifest"`
	Layers   []signature.Layer `json:"layers,omitempty"`
	Bundles  []foundBundle     `json:"bundles,omitempty"`
}

// foundBundle is a bundle as it came, or why it is none.
type foundBundle struct {
	Content []byte `json:"content,omitempty"`
	Flaw    string `json:"flaw,omitempty"`
}

func (b foundBundle) proof() signature.Proof {
	if b.Flaw != "" {
		return signature.NoBundle(errors.New(b.Flaw))
	}
	return signature.NewBundle(b.Content)
}

// proofs are the signatures of the manifest.
func (e evidence) proofs() []signature.Proof {
	proofs := make([]signature.Proof, 0, len(e.Layers)+len(e.Bundles))
	for _, layer := range e.Layers {
		proofs = append(proofs, layer)
	}
	for _, bundle := range e.Bundles {
		proofs = append(proofs, bundle.proof())
	}
	return proofs
}

// manifestDigest is computed and not taken from the registry, which may claim any for some
// old media types.
func (e evidence) manifestDigest() (string, error) {
	digest, _, err := v1.SHA256(bytes.NewReader(e.Manifest))
	return digest.String(), err
}

// judge gives the digest of the module that the manifest names, provided that the manifest
// has the signatures that are demanded now and the module is the one that is asked for.
func (c *Client) judge(e evidence, digest string) (signed string, err error) {
	of, err := e.manifestDigest()
	if err != nil {
		return "", err
	}
	if err := c.checkProofs(c.demanded, of, e.proofs()); err != nil {
		return "", err
	}
	if signed, err = moduleDigest(e.Manifest); err != nil {
		return "", err
	}
	if digest != "" && signed != digest {
		return "", refuse(contract.ReasonUnverified, "the signed manifest %s has the module %s, want %s", of, signed, digest)
	}
	return signed, nil
}

// verifiedBefore gives a module out of the store by the evidence that is kept of it, or nil.
func (c *Client) verifiedBefore(ctx context.Context, moduleURL, digest string) []byte {
	if digest == "" {
		return nil
	}
	kept, err := c.store.evidence(moduleURL, digest)
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			c.config.Logger.WarnContext(ctx, "read stored evidence", "module", moduleURL, "digest", digest, "error", err)
		}
		return nil
	}
	if _, err := c.judge(kept, digest); err != nil {
		c.config.Logger.DebugContext(ctx, "stored evidence does not suffice", "module", moduleURL, "digest", digest, "error", err)
		return nil
	}
	return c.stored(ctx, digest)
}

// evidencePath is that of the evidence that a source gave of a module. What another source
// gave of the same module says nothing about this one.
func (s store) evidencePath(moduleURL, digest string) string {
	sum := sha256.Sum256([]byte(moduleURL + "\x00" + digest))
	return filepath.Join(s.dir, "evidence", hex.EncodeToString(sum[:])+".json")
}

func (s store) evidence(moduleURL, digest string) (evidence, error) {
	file, err := os.Open(s.evidencePath(moduleURL, digest))
	if err != nil {
		return evidence{}, err
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, maxEvidenceBytes))
	if err != nil {
		return evidence{}, err
	}
	var kept evidence
	return kept, json.Unmarshal(content, &kept)
}

func (s store) keepEvidence(moduleURL, digest string, gathered evidence) error {
	content, err := json.Marshal(gathered)
	if err != nil {
		return err
	}
	return s.write(s.evidencePath(moduleURL, digest), content)
}
