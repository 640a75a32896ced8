package signaturetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/signature"
)

// Signer signs with a key of its own.
type Signer struct {
	// PublicKey is the key that verifies, in PEM.
	PublicKey string

	key *ecdsa.PrivateKey
}

// NewSigner makes a key of the kind that cosign makes.
func NewSigner() (*Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	return &Signer{PublicKey: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), key: key}, nil
}

// Verification is a verification.yml that demands a signature of this key.
func (s *Signer) Verification() []byte {
	return fmt.Appendf(nil, "apiVersion: v1\nallOf:\n- kind: pubKey\n  key: %q\n", s.PublicKey)
}

// Sign pushes a signature of what a reference stands for, beside it.
func (s *Signer) Sign(of name.Reference, options ...remote.Option) error {
	descriptor, err := remote.Head(of, options...)
	if err != nil {
		return fmt.Errorf("find what is to be signed: %w", err)
	}
	digest := descriptor.Digest.String()
	payload, err := Payload(digest, nil)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(payload)
	signed, err := ecdsa.SignASN1(rand.Reader, s.key, sum[:])
	if err != nil {
		return err
	}
	annotations := map[string]string{signature.AnnotationSignature: base64.StdEncoding.EncodeToString(signed)}
	return Attach(of.Context().Digest(digest), payload, []map[string]string{annotations}, options...)
}
