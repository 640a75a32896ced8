package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// loadOperatorCAs has the port ask for client certificates that the operator and the audit
// scanner may answer with. It never fails: what the operator may ask for is a courtesy, and must not keep a
// renewed serving certificate from being presented.
func (c *Certificates) loadOperatorCAs(into *loadedCertificates) {
	var authorities []*x509.Certificate
	var texts [][]byte
	for _, path := range c.files.OperatorCAs {
		content, err := os.ReadFile(path)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				c.log.Warn("read authorities of the operator", "path", path, "error", err)
			}
			continue
		}
		into.content, texts = append(into.content, content...), append(texts, content)
		authorities = append(authorities, authoritiesOf(content)...)
	}
	if len(authorities) == 0 {
		return
	}
	into.operators, into.ownCA = x509.NewCertPool(), contract.AuthoritiesFingerprint(texts...)
	acceptable := x509.NewCertPool()
	if into.clients != nil {
		acceptable = into.clients.Clone()
	}
	for _, authority := range authorities {
		into.operators.AddCert(authority)
		acceptable.AddCert(authority)
	}
	// The pool only tells clients which certificates are of use here. What becomes of one that
	// has none of them is decided elsewhere (clients.go).
	into.config.ClientCAs, into.config.ClientAuth = acceptable, tls.RequestClientCert
}

// IsOperator is nil for a connection of the operator: one with a certificate for
// contract.OperatorIdentity, of an authority that is trusted now, however long ago the
// connection began. nil is a connection without TLS.
func (c *Certificates) IsOperator(state *tls.ConnectionState) error {
	if state == nil {
		return errNoClientCertificate
	}
	return c.current.Load().isOneOf(*state, contract.OperatorIdentity)
}

var errNoClientCertificate = errors.New("the connection has no client certificate")

// verifyClient does what crypto/tls does for a client that must have a certificate.
func verifyClient(state tls.ConnectionState, roots *x509.CertPool) error {
	if len(state.PeerCertificates) == 0 {
		return errNoClientCertificate
	}
	intermediates := x509.NewCertPool()
	for _, certificate := range state.PeerCertificates[1:] {
		intermediates.AddCert(certificate)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err
}
