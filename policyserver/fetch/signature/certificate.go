package signature

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

// maxRSABits bounds a key: a larger one only costs time.
const maxRSABits = 8192

// Certificate demands a signature by the key of one certificate, for which Sigstore's
// authorities need not vouch. It is what policies can ask for; verification.yml cannot.
type Certificate struct {
	// Certificate is the signer's. It is for signing code, and names somebody.
	Certificate *x509.Certificate
	// Chain are the authorities by which it is trusted: the last, and any that signed itself,
	// are so without further ado. An empty one means that the certificate is trusted as it is.
	Chain []*x509.Certificate
	// Logged demands that a transparency log of the trust root witnesses the signature.
	Logged bool
	// Annotations must stand in the signed payload with these values.
	Annotations map[string]string
	// Now is the time at which the certificate has to be valid. Of one that expired, a
	// transparency log has to witness that the signature was made before.
	Now time.Time
}

// ParseCertificate reads the certificate of a signer, or of an authority, in PEM.
func ParseCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("no PEM found; want a PEM block CERTIFICATE")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("PEM block CERTIFICATE: %w", err)
	}
	if key, is := certificate.PublicKey.(*rsa.PublicKey); is && key.N.BitLen() > maxRSABits {
		return nil, fmt.Errorf("it has an RSA key of %d bits, at most %d are allowed", key.N.BitLen(), maxRSABits)
	}
	return certificate, nil
}

// Check is an error unless one of the proofs is a signature, by the certificate's key, of
// the artefact whose manifest has the digest. ErrNoTrust is in the error where a
// transparency log is needed and there is no trust root (nil).
func (c Certificate) Check(trust *Trust, digest string, proofs []Proof) error {
	if err := c.isForSigning(); err != nil {
		return fmt.Errorf("the certificate is not usable: %w", err)
	}
	isSigned, err := c.signedCheck(trust, digest)
	if err != nil {
		return err
	}
	if len(proofs) == 0 {
		return errors.New("the artefact has no signatures")
	}
	causes := make([]string, 0, len(proofs))
	for _, proof := range proofs {
		err := isSigned(proof)
		if err == nil {
			err = proof.states(digest, c.Annotations)
		}
		if err == nil {
			return nil
		}
		causes = append(causes, err.Error())
	}
	return errors.New(shorten(causes))
}

// isForSigning has the demands of cosign on a certificate.
func (c Certificate) isForSigning() error {
	of := c.Certificate
	isNamed := len(of.URIs)+len(of.EmailAddresses)+len(of.DNSNames)+len(of.IPAddresses) > 0
	switch {
	case of.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return errors.New("its key usage lacks digital signature")
	case !slices.Contains(of.ExtKeyUsage, x509.ExtKeyUsageCodeSigning):
		return errors.New("its extended key usage lacks code signing")
	case !isNamed:
		return errors.New("it has no subject alternative name")
	case c.Now.Before(of.NotBefore):
		return fmt.Errorf("it is not valid before %s", of.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// signedCheck gives what tells whether a signature is of the certificate's key, made while
// the certificate was valid.
func (c Certificate) signedCheck(trust *Trust, digest string) (func(Proof) error, error) {
	if !c.Logged && !c.Now.After(c.Certificate.NotAfter) {
		if _, err := c.Verify(c.Certificate, c.Now); err != nil {
			return nil, fmt.Errorf("the certificate is not trusted: %w", err)
		}
		return func(proof Proof) error { return proof.signedBy(c.Certificate.PublicKey) }, nil
	}
	if trust == nil {
		return nil, fmt.Errorf("that a transparency log witnesses a signature is needed (the certificate is valid until %s): %w",
			c.Certificate.NotAfter.UTC().Format(time.RFC3339), ErrNoTrust)
	}
	verifier, err := trust.witnessing(c)
	if err != nil {
		return nil, err
	}
	return func(proof Proof) error {
		if err := proof.signedBy(c.Certificate.PublicKey); err != nil {
			return err
		}
		return proof.witnessed(verifier, c.Certificate, digest)
	}, nil
}

var _ root.CertificateAuthority = Certificate{}

// Verify gives the chains by which a certificate is trusted at a time, if it is this one.
func (c Certificate) Verify(of *x509.Certificate, at time.Time) ([][]*x509.Certificate, error) {
	if !of.Equal(c.Certificate) {
		return nil, errors.New("a signature is of another certificate")
	}
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	if len(c.Chain) == 0 {
		roots.AddCert(c.Certificate)
	}
	for i, authority := range c.Chain {
		if i == len(c.Chain)-1 || authority.CheckSignatureFrom(authority) == nil {
			roots.AddCert(authority)
			continue
		}
		intermediates.AddCert(authority)
	}
	return of.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	})
}

// witnesses are the transparency logs of a trust root, beside somebody else who vouches.
type witnesses struct {
	root.BaseTrustedMaterial

	of       root.TrustedMaterial
	vouching root.CertificateAuthority
}

// FulcioCertificateAuthorities are who vouches.
func (w *witnesses) FulcioCertificateAuthorities() []root.CertificateAuthority {
	return []root.CertificateAuthority{w.vouching}
}

// RekorLogs are the transparency logs.
func (w *witnesses) RekorLogs() map[string]*root.TransparencyLog { return w.of.RekorLogs() }

// witnessing verifies signatures by the key of a certificate that a log of the trust root
// witnesses.
func (t *Trust) witnessing(certificate Certificate) (*verify.Verifier, error) {
	if len(t.material.RekorLogs()) == 0 {
		return nil, errors.New("the trust root of Sigstore has no transparency log, so no signature can be witnessed")
	}
	return verify.NewVerifier(&witnesses{of: t.material, vouching: certificate}, verify.WithTransparencyLog(1), verify.WithIntegratedTimestamps(1))
}
