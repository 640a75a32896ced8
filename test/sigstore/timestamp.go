package sigstore

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	"github.com/sigstore/sigstore-go/pkg/root"
)

// Identifiers of timestamping: the extension with what a key may do, its one use, and the
// policy of Sigstore's authority.
var (
	oidExtKeyUsage     = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidTimestamping    = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
	oidTimestampPolicy = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2}
)

// timestampAuthority tells when a signature was there (RFC 3161).
type timestampAuthority struct{ root, leaf authority }

func (s *Sigstore) newTimestampAuthority(t testing.TB) timestampAuthority {
	t.Helper()
	root := newAuthority(t, s.authorityTemplate("timestamps"))
	return timestampAuthority{root, root.newCertified(t, &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "timestamp authority"},
		NotBefore:    s.now.Add(-validity), NotAfter: s.now.Add(validity),
		KeyUsage: x509.KeyUsageDigitalSignature,
		// Not by the field for it: the extension has to be critical.
		ExtraExtensions: []pkix.Extension{{Id: oidExtKeyUsage, Critical: true, Value: der(t, []asn1.ObjectIdentifier{oidTimestamping})}},
	})}
}

func (s *Sigstore) trustedTimestamps() []root.TimestampingAuthority {
	return []root.TimestampingAuthority{&root.SigstoreTimestampingAuthority{
		Root: s.timestamps.root.certificate, Leaf: s.timestamps.leaf.certificate, URI: "https://timestamps.test",
		ValidityPeriodStart: s.now.Add(-validity), ValidityPeriodEnd: s.now.Add(validity),
	}}
}

// timestamp tells that the signature was there at a time.
func (a timestampAuthority) timestamp(t testing.TB, signature []byte, at time.Time) []byte {
	t.Helper()
	hash := crypto.SHA256.New()
	hash.Write(signature)
	stamp := timestamp.Timestamp{
		HashAlgorithm: crypto.SHA256, HashedMessage: hash.Sum(nil), Time: at, Policy: oidTimestampPolicy,
	}
	response, err := stamp.CreateResponseWithOpts(a.leaf.certificate, a.leaf.key, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return response
}
