package certificate

import (
	"bytes"
	"crypto/x509"
	"errors"
	"slices"
	"time"
)

// Reasons why a certificate is not trusted, in upstream's words.
const (
	reasonExpired   = "Certificate is being used after its expiration date"
	reasonEarly     = "Certificate is being used before its validity date"
	reasonUntrusted = "Certificate is not trusted by the provided cert chain"
	reasonOther     = "Certificate not trusted: "
)

// trust are authorities. A host name is not asked for, nor what the certificate is for.
type trust struct {
	intermediates []*x509.Certificate
	// anchor is the authority that a guest named; nil where the roots are the system's.
	anchor *x509.Certificate
	roots  *x509.CertPool
}

// The times between which a certificate is valid whose own times do not matter: that of an
// authority that somebody decided to trust.
var (
	always = time.Time{}
	ever   = time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC)
)

// valid is the certificate as if it were valid at all times.
func valid(certificate *x509.Certificate) *x509.Certificate {
	copied := *certificate
	copied.NotBefore, copied.NotAfter = always, ever
	return &copied
}

// judge says why a certificate is not trusted at a time; "" when it is.
func (t trust) judge(leaf *x509.Certificate, at time.Time) string {
	if reason := outOfTime(leaf, at); reason != "" {
		return reason
	}
	if leaf.BasicConstraintsValid && leaf.IsCA {
		return reasonOther + "it is an authority's, want an end entity's"
	}
	if t.anchor != nil && t.anchor.Equal(leaf) && !bytes.Equal(leaf.RawIssuer, leaf.RawSubject) {
		// To name a certificate as the authority that is to have issued it proves nothing.
		return reasonUntrusted
	}
	if _, err := t.chains(leaf, at, func(c *x509.Certificate) *x509.Certificate { return c }); err == nil {
		return ""
	}
	// Of what is wrong, the library tells the time of an authority in the middle before other
	// things, or not at all.
	chains, err := t.chains(leaf, at, valid)
	var unknown x509.UnknownAuthorityError
	switch {
	case err == nil:
		return t.outOfTime(chains[0], at)
	case errors.As(err, &unknown):
		return reasonUntrusted
	default:
		return reasonOther + err.Error()
	}
}

func (t trust) chains(leaf *x509.Certificate, at time.Time, as func(*x509.Certificate) *x509.Certificate) ([][]*x509.Certificate, error) {
	intermediates := x509.NewCertPool()
	for _, intermediate := range t.intermediates {
		intermediates.AddCert(as(intermediate))
	}
	return leaf.Verify(x509.VerifyOptions{
		Roots: t.roots, Intermediates: intermediates, CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
}

// outOfTime is the reason why a chain is not trusted of which nothing but the time of an
// authority in the middle is wrong.
func (t trust) outOfTime(chain []*x509.Certificate, at time.Time) string {
	for _, intermediate := range t.intermediates {
		isIn := slices.ContainsFunc(chain, intermediate.Equal)
		if reason := outOfTime(intermediate, at); reason != "" && isIn {
			return reason
		}
	}
	return reasonUntrusted
}

func outOfTime(certificate *x509.Certificate, at time.Time) string {
	switch {
	case at.After(certificate.NotAfter):
		return reasonExpired
	case at.Before(certificate.NotBefore):
		return reasonEarly
	default:
		return ""
	}
}
