package certs

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"slices"
	"time"
)

// Claim is what a pair proves to whoever is called with it, or calls: one of the two is set.
type Claim struct {
	// DNSName is the name that a server is called by.
	DNSName string
	// URI is who a client is.
	URI string
}

// usages are what a certificate with the claim is for.
func (c Claim) usages() []x509.ExtKeyUsage {
	if c.URI != "" {
		return []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	return []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
}

// usable says whether a pair proves the claim now, to those who trust its authority.
func (c Claim) usable(pair Pair, now time.Time) error {
	loaded, err := pair.load(now)
	if err != nil {
		return err
	}
	return c.madeBy(loaded)
}

func (c Claim) madeBy(certificate *tls.Certificate) error {
	if c.URI == "" {
		return certificate.Leaf.VerifyHostname(c.DNSName)
	}
	if !slices.ContainsFunc(certificate.Leaf.URIs, func(uri *url.URL) bool { return uri.String() == c.URI }) {
		return fmt.Errorf("the certificate is not for %s", c.URI)
	}
	return nil
}

// trusted says whether a caBundle vouches for a pair.
func (c Claim) trusted(pair Pair, caBundle []byte, now time.Time) error {
	chain, err := parseCertificates(pair.Certificate)
	if err != nil {
		return err
	}
	if len(chain) == 0 {
		return errNoPair
	}
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(caBundle)
	for _, certificate := range chain[1:] {
		intermediates.AddCert(certificate)
	}
	_, err = chain[0].Verify(x509.VerifyOptions{
		DNSName: c.DNSName, KeyUsages: c.usages(), Roots: roots, Intermediates: intermediates, CurrentTime: now,
	})
	return err
}

// names puts the claim into the template of a certificate.
func (c Claim) names(template *x509.Certificate) error {
	template.ExtKeyUsage = c.usages()
	if c.URI == "" {
		template.DNSNames = []string{c.DNSName}
		return nil
	}
	uri, err := url.Parse(c.URI)
	if err != nil {
		return fmt.Errorf("make a certificate for %s: %w", c.URI, err)
	}
	template.URIs = []*url.URL{uri}
	return nil
}
