package sigstore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"math/big"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
)

// validity is how long before and after now everything of a Sigstore is valid, except for
// the certificates of signers.
const validity = 24 * time.Hour

// Sigstore is an authority with its logs.
type Sigstore struct {
	root, intermediate authority
	rekor, ctlog       *ecdsa.PrivateKey
	timestamps         timestampAuthority
	now                time.Time
}

// New makes a Sigstore that nobody else trusts.
func New(t testing.TB) *Sigstore {
	t.Helper()
	s := &Sigstore{rekor: newKey(t), ctlog: newKey(t), now: time.Now()}
	s.root = newAuthority(t, s.authorityTemplate("root"))
	template := s.authorityTemplate("intermediate")
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	s.intermediate = s.root.newCertified(t, template)
	s.timestamps = s.newTimestampAuthority(t)
	return s
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (s *Sigstore) authorityTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name, Organization: []string{"sigstore.test"}},
		NotBefore:             s.now.Add(-validity),
		NotAfter:              s.now.Add(validity),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
}

// authority is a key with a certificate.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// newAuthority makes one that certifies itself.
func newAuthority(t testing.TB, template *x509.Certificate) authority {
	t.Helper()
	self := authority{template, newKey(t)}
	self.certificate = self.certify(t, template, self.key.Public())
	return self
}

// newCertified makes a key that the authority certifies.
func (a authority) newCertified(t testing.TB, template *x509.Certificate) authority {
	t.Helper()
	key := newKey(t)
	return authority{a.certify(t, template, key.Public()), key}
}

func (a authority) certify(t testing.TB, template *x509.Certificate, key crypto.PublicKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key, a.key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// Chain gives the certificates of the authority, from the one that certifies signers up.
func (s *Sigstore) Chain() []*x509.Certificate {
	return []*x509.Certificate{s.intermediate.certificate, s.root.certificate}
}

// Part is a part of a trust root, or of a signature, that can be left out.
type Part int

// Parts.
const (
	CertificateLog Part = 1 << iota
	TransparencyLog
	TimestampAuthority
	CertificateAuthority
)

// TrustedRoot gives the trust root as trusted_root.json, without some parts.
func (s *Sigstore) TrustedRoot(t testing.TB, without Part) []byte {
	t.Helper()
	var authorities []root.CertificateAuthority
	if without&CertificateAuthority == 0 {
		authorities = []root.CertificateAuthority{&root.FulcioCertificateAuthority{
			Root: s.root.certificate, Intermediates: []*x509.Certificate{s.intermediate.certificate},
			ValidityPeriodStart: s.now.Add(-validity), ValidityPeriodEnd: s.now.Add(validity), URI: "https://fulcio.test",
		}}
	}
	var timestamps []root.TimestampingAuthority
	if without&TimestampAuthority == 0 {
		timestamps = s.trustedTimestamps()
	}
	trusted, err := root.NewTrustedRoot(root.TrustedRootMediaType01, authorities,
		s.logs(t, s.ctlog, "https://ctlog.test", without&CertificateLog), timestamps,
		s.logs(t, s.rekor, "https://rekor.test", without&TransparencyLog))
	if err != nil {
		t.Fatal(err)
	}
	data, err := trusted.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (s *Sigstore) logs(t testing.TB, key *ecdsa.PrivateKey, url string, without Part) map[string]*root.TransparencyLog {
	t.Helper()
	if without != 0 {
		return nil
	}
	id := logID(t, key)
	return map[string]*root.TransparencyLog{hex.EncodeToString(id): {
		BaseURL: url, ID: id, HashFunc: crypto.SHA256, SignatureHashFunc: crypto.SHA256, PublicKey: key.Public(),
		ValidityPeriodStart: s.now.Add(-validity), ValidityPeriodEnd: s.now.Add(validity),
	}}
}

// logID is how a log is named: by the digest of its key.
func logID(t testing.TB, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	sum := sha256.Sum256(publicDER(t, key))
	return sum[:]
}

func publicDER(t testing.TB, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func sign(t testing.TB, key *ecdsa.PrivateKey, message []byte) []byte {
	t.Helper()
	sum := sha256.Sum256(message)
	signature, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return signature
}
