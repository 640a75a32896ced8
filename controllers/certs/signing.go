package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

const (
	pemKey = "PRIVATE KEY" // PKCS #8
	// serialBits is the length of serial numbers, which are random.
	serialBits = 128
	// backdating makes up for clocks of API servers that are late.
	backdating = 5 * time.Minute
)

// NewAuthority makes an authority on the terms that hold where nothing is said.
func NewAuthority(name string, now time.Time) (Pair, error) {
	return NewAuthorityOn(render.DefaultTerms().Authority, name, now)
}

// NewAuthorityOn makes an authority with a key of its own, which signs itself. It is valid from
// now for as long as the terms say.
func NewAuthorityOn(terms render.CertificateTerms, name string, now time.Time) (Pair, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotAfter:              now.Add(terms.Duration),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	return sign(template, terms.Key, nil, now)
}

// Issue has an authority sign a certificate on the terms that hold where nothing is said.
func Issue(authority Pair, claim Claim, now time.Time) (Pair, error) {
	return IssueOn(render.DefaultTerms().Leaf, authority, claim, now)
}

// IssueOn has an authority sign a certificate, with a key of its own, for what it is to prove.
// It is valid from now for as long as the terms say, and no longer than the authority.
func IssueOn(terms render.CertificateTerms, authority Pair, claim Claim, now time.Time) (Pair, error) {
	signer, err := readAuthority(authority, now)
	if err != nil {
		return Pair{}, err
	}
	template := &x509.Certificate{NotAfter: now.Add(terms.Duration), KeyUsage: x509.KeyUsageDigitalSignature}
	if err := claim.names(template); err != nil {
		return Pair{}, err
	}
	if template.NotAfter.After(signer.Leaf.NotAfter) {
		template.NotAfter = signer.Leaf.NotAfter
	}
	return sign(template, terms.Key, signer, now)
}

// sign makes a key and signs its certificate: by the signer, or by itself when there is none.
func sign(template *x509.Certificate, terms render.KeyTerms, signer *tls.Certificate, now time.Time) (Pair, error) {
	key, err := newKey(terms)
	if err != nil {
		return Pair{}, err
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
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("encode a key: %w", err)
	}
	return Pair{
		Certificate: pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: signed}),
		Key:         pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: encoded}),
	}, nil
}

// curves are the elliptic curves, by size in bits.
var curves = map[int]elliptic.Curve{256: elliptic.P256(), 384: elliptic.P384(), 521: elliptic.P521()}

func newKey(terms render.KeyTerms) (crypto.Signer, error) {
	if terms.Algorithm == operatorv1alpha1.KeyAlgorithmRSA {
		key, err := rsa.GenerateKey(rand.Reader, terms.Size)
		if err != nil {
			return nil, fmt.Errorf("generate a key, %s: %w", terms, err)
		}
		return key, nil
	}
	curve, known := curves[terms.Size]
	if !known {
		return nil, fmt.Errorf("generate a key, %s: there is no such curve", terms)
	}
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate a key, %s: %w", terms, err)
	}
	return key, nil
}

// keyOf says what the key of a certificate is like.
func keyOf(certificate *x509.Certificate) render.KeyTerms {
	switch key := certificate.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return render.KeyTerms{Algorithm: operatorv1alpha1.KeyAlgorithmECDSA, Size: key.Params().BitSize}
	case *rsa.PublicKey:
		return render.KeyTerms{Algorithm: operatorv1alpha1.KeyAlgorithmRSA, Size: key.N.BitLen()}
	default:
		return render.KeyTerms{Algorithm: operatorv1alpha1.KeyAlgorithm(certificate.PublicKeyAlgorithm.String())}
	}
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
