package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

const (
	pemKey = "EC PRIVATE KEY"
	// serialBits is the length of serial numbers, which are random.
	serialBits = 128
	// backdating makes up for clocks of API servers that are late.
	backdating = 5 * time.Minute
)

// NewAuthority makes an authority with a key of its own (ECDSA P-256), which signs itself and
// is valid for ten years from now.
func NewAuthority(name string, now time.Time) (Pair, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotAfter:              now.Add(render.AuthorityLifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	return sign(template, nil, now)
}

// Issue has an authority sign a certificate, with a key of its own, for what it is to prove. It
// is valid for a year from now, and no longer than the authority.
func Issue(authority Pair, claim Claim, now time.Time) (Pair, error) {
	signer, err := readAuthority(authority, now)
	if err != nil {
		return Pair{}, err
	}
	template := &x509.Certificate{NotAfter: now.Add(render.ServingLifetime), KeyUsage: x509.KeyUsageDigitalSignature}
	if err := claim.names(template); err != nil {
		return Pair{}, err
	}
	if template.NotAfter.After(signer.Leaf.NotAfter) {
		template.NotAfter = signer.Leaf.NotAfter
	}
	return sign(template, signer, now)
}

// sign makes a key and signs its certificate: by the signer, or by itself when there is none.
func sign(template *x509.Certificate, signer *tls.Certificate, now time.Time) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("generate a key: %w", err)
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits)); err != nil {
		return Pair{}, fmt.Errorf("draw a serial number: %w", err)
	}
	template.NotBefore = now.Add(-backdating)
	parent, parentKey := template, any(key)
	if signer != nil {
		parent, parentKey = signer.Leaf, signer.PrivateKey
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return Pair{}, fmt.Errorf("sign a certificate: %w", err)
	}
	encoded, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("encode a key: %w", err)
	}
	return Pair{
		Certificate: pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: signed}),
		Key:         pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: encoded}),
	}, nil
}

// readAuthority reads an authority that can sign now.
func readAuthority(pair Pair, now time.Time) (*tls.Certificate, error) {
	loaded, err := pair.load(now)
	if err != nil {
		return nil, err
	}
	if !loaded.Leaf.IsCA {
		return nil, errors.New("the certificate is not that of an authority")
	}
	return loaded, nil
}
