package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"slices"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// loadOperatorCAs has the port ask for client certificates that the operator may answer
// with. It never fails: what the operator may ask for is a courtesy, and must not keep a
// renewed serving certificate from being presented.
func (c *Certificates) loadOperatorCAs(into *loadedCertificates) {
	var authorities []*x509.Certificate
	for _, path := range c.files.OperatorCAs {
		content, err := os.ReadFile(path)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				c.log.Warn("read authorities of the operator", "path", path, "error", err)
			}
			continue
		}
		into.content = append(into.content, content...)
		authorities = append(authorities, authoritiesOf(content)...)
	}
	if len(authorities) == 0 {
		return
	}
	into.operators = x509.NewCertPool()
	clients := into.config.ClientCAs
	acceptable := x509.NewCertPool()
	if clients != nil {
		acceptable = clients.Clone()
	}
	for _, authority := range authorities {
		into.operators.AddCert(authority)
		acceptable.AddCert(authority)
	}
	// From here on the pool only tells clients which certificates are of use here. Who has
	// none of them, or one of somebody else's, gets in as before.
	into.config.ClientCAs = acceptable
	if clients == nil {
		into.config.ClientAuth = tls.RequestClientCert
		return
	}
	// Where clients need a certificate, the operator's is one more that will do.
	into.config.ClientAuth = tls.RequireAnyClientCert
	into.config.VerifyConnection = func(state tls.ConnectionState) error {
		err := verifyClient(state, clients)
		if err != nil && into.isOperator(state) == nil {
			return nil
		}
		return err
	}
}

// IsOperator is nil for a connection of the operator: one with a certificate for
// contract.OperatorIdentity, of an authority that is trusted now, however long ago the
// connection began. nil is a connection without TLS.
func (c *Certificates) IsOperator(state *tls.ConnectionState) error {
	if state == nil {
		return errNoClientCertificate
	}
	return c.current.Load().isOperator(*state)
}

var errNoClientCertificate = errors.New("the connection has no client certificate")

func (l *loadedCertificates) isOperator(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return errNoClientCertificate
	}
	if l.operators == nil {
		return errors.New("the authority of the operator is not known yet")
	}
	if err := verifyClient(state, l.operators); err != nil {
		return err
	}
	names := state.PeerCertificates[0].URIs
	if !slices.ContainsFunc(names, func(name *url.URL) bool { return name.String() == contract.OperatorIdentity }) {
		return fmt.Errorf("the client certificate is not for %s", contract.OperatorIdentity)
	}
	return nil
}

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
