package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"
)

const pemCertificate = "CERTIFICATE"

// parseCertificates reads every certificate of a PEM text, each once.
func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	var certificates []*x509.Certificate
	for {
		var block *pem.Block
		block, text = pem.Decode(text)
		if block == nil {
			return certificates, nil
		}
		if block.Type != pemCertificate {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parse certificate: %w", err)
		}
		certificates = append(without(certificates, certificate), certificate)
	}
}

func encodeCertificates(certificates []*x509.Certificate) []byte {
	var text bytes.Buffer
	for _, certificate := range certificates {
		text.Write(pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: certificate.Raw}))
	}
	return text.Bytes()
}

// firstOf is the first certificate of a PEM text; empty when it holds none.
func firstOf(text []byte) []byte {
	certificates, err := parseCertificates(text)
	if err != nil {
		return nil
	}
	return encodeCertificates(certificates[:min(1, len(certificates))])
}

// without returns the certificates that are none of the others.
func without(certificates []*x509.Certificate, others ...*x509.Certificate) []*x509.Certificate {
	var rest []*x509.Certificate
	for _, certificate := range certificates {
		if !slices.ContainsFunc(others, certificate.Equal) {
			rest = append(rest, certificate)
		}
	}
	return rest
}

// valid returns the certificates that have not expired.
func valid(certificates []*x509.Certificate, now time.Time) []*x509.Certificate {
	var rest []*x509.Certificate
	for _, certificate := range certificates {
		if now.Before(certificate.NotAfter) {
			rest = append(rest, certificate)
		}
	}
	return rest
}

// untilFirstExpiry is how long all of the certificates are valid; 0 when there is none.
func untilFirstExpiry(certificates []*x509.Certificate, now time.Time) time.Duration {
	var first time.Duration
	for _, certificate := range certificates {
		if rest := certificate.NotAfter.Sub(now); first == 0 || rest < first {
			first = rest
		}
	}
	return first
}

// isAuthority says whether a PEM text begins with the certificate of an authority.
func isAuthority(text []byte) bool {
	certificates, err := parseCertificates(text)
	return err == nil && len(certificates) > 0 && certificates[0].IsCA
}

// soonest is the shorter of two times to wait, of which 0 means for ever.
func soonest(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

func (p Pair) equal(other Pair) bool {
	return bytes.Equal(p.Certificate, other.Certificate) && bytes.Equal(p.Key, other.Key)
}

var errNoPair = errors.New("there is no certificate")

// load reads a pair that fits together and is valid now.
func (p Pair) load(now time.Time) (*tls.Certificate, error) {
	if len(p.Certificate) == 0 {
		return nil, errNoPair
	}
	loaded, err := tls.X509KeyPair(p.Certificate, p.Key)
	if err != nil {
		return nil, fmt.Errorf("read the pair: %w", err)
	}
	if now.Before(loaded.Leaf.NotBefore) || !now.Before(loaded.Leaf.NotAfter) {
		return nil, fmt.Errorf("the certificate is valid from %s to %s",
			loaded.Leaf.NotBefore.Format(time.RFC3339), loaded.Leaf.NotAfter.Format(time.RFC3339))
	}
	return &loaded, nil
}
