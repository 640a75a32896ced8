package certs_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/controllers/certs"
)

// noon is when the tests take place: now, since an API server notes its own time too.
var noon = time.Now().UTC().Truncate(time.Second)

const (
	year    = 365 * 24 * time.Hour
	dnsName = "policy-server-default.kubewarden.svc"
)

// authority signs certificates in tests.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("generate a key: %v", err)
	}
	return key
}

// newAuthority returns an authority that is valid from noon, less a year, to the end.
func newAuthority(t *testing.T, name string, end time.Time) authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: noon.Add(-year), NotAfter: end,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	return authority{certificate: authority{certificate: template, key: key}.sign(t, template, key), key: key}
}

func (a authority) sign(t *testing.T, template *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		t.Fatalf("sign a certificate: %v", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("parse the certificate: %v", err)
	}
	return certificate
}

// pem is the authority's certificate.
func (a authority) pem() []byte { return encode("CERTIFICATE", a.certificate.Raw) }

// issue returns a pair for a name, valid from a day before noon to the end.
func (a authority) issue(t *testing.T, name string, end time.Time) certs.Pair {
	t.Helper()
	return a.complete(t, &x509.Certificate{DNSNames: []string{name}, NotAfter: end, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
}

// issueClient returns a pair for a client.
func (a authority) issueClient(t *testing.T, name *url.URL) certs.Pair {
	t.Helper()
	return a.complete(t, &x509.Certificate{URIs: []*url.URL{name}, NotAfter: noon.Add(year), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

func (a authority) complete(t *testing.T, template *x509.Certificate) certs.Pair {
	t.Helper()
	key := newKey(t)
	template.SerialNumber, template.NotBefore, template.KeyUsage = big.NewInt(2), noon.Add(-24*time.Hour), x509.KeyUsageDigitalSignature
	leaf := a.sign(t, template, key)
	encoded, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatalf("encode the key: %v", err)
	}
	return certs.Pair{Certificate: encode("CERTIFICATE", leaf.Raw), Key: encode("EC PRIVATE KEY", encoded)}
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func join(texts ...[]byte) []byte {
	var joined []byte
	for _, text := range texts {
		joined = append(joined, text...)
	}
	return joined
}
