package servertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/server"
)

// Certificate makes a serving certificate for 127.0.0.1, signed by itself, in files that go
// with the test, and the pool of those who trust it.
func Certificate(t *testing.T) (*server.CertificateFiles, *x509.CertPool) {
	t.Helper()
	chain, key := selfSigned(t, &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	dir := t.TempDir()
	files := &server.CertificateFiles{Certificate: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
	for path, content := range map[string][]byte{files.Certificate: chain, files.Key: key} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(chain)
	return files, pool
}

// Operator makes the operator's client certificate, which is its own authority, and a file
// with that authority.
func Operator(t *testing.T) (string, tls.Certificate) {
	t.Helper()
	name, err := url.Parse(contract.OperatorIdentity)
	if err != nil {
		t.Fatal(err)
	}
	chain, key := selfSigned(t, &x509.Certificate{URIs: []*url.URL{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	certificate, err := tls.X509KeyPair(chain, key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(path, chain, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, certificate
}

// selfSigned completes a template and signs it, in PEM.
func selfSigned(t *testing.T, template *x509.Certificate) (certificate, key []byte) {
	t.Helper()
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(1)
	template.NotBefore = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)
	template.NotAfter = time.Date(2100, time.January, 1, 0, 0, 0, 0, time.UTC)
	template.IsCA, template.BasicConstraintsValid = true, true
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(signer)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
}
