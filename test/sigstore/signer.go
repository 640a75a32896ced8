package sigstore

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"math/big"
	"net/url"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
)

// certifiedFor is how long the certificate of a signer is valid.
const certifiedFor = 10 * time.Minute

// Extensions: what logs of certificates promised (RFC 6962), and the repository of a workflow.
var (
	oidSCTList    = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}
	oidRepository = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 5}
)

// Signer is somebody who signs once.
type Signer struct {
	// Issuer is who vouches for the signer; URI or Email is who it is.
	Issuer, URI, Email string
	// Repository is "owner/name" of a workflow of GitHub; empty for others.
	Repository string
	// Late is how long after the certificate was issued the signature was made.
	Late time.Duration
	// Without leaves out the promise of the certificate log, or the entry of the
	// transparency log.
	Without Part
	// Timestamped signatures have a timestamp of the authority.
	Timestamped bool
}

// certified is a signer with a key, and a certificate for it.
type certified struct {
	Signer

	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
	at          time.Time
}

func (c certified) signedAt() time.Time { return c.at.Add(c.Late) }

func (s *Sigstore) certify(t testing.TB, signer Signer) certified {
	t.Helper()
	c := certified{Signer: signer, key: newKey(t), at: s.now.Add(-certifiedFor / 2)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		NotBefore:    c.at, NotAfter: c.at.Add(certifiedFor),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		ExtraExtensions: []pkix.Extension{
			{Id: certificate.OIDIssuerV2, Value: der(t, signer.Issuer)},
		},
	}
	if signer.URI != "" {
		uri, err := url.Parse(signer.URI)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = []*url.URL{uri}
	}
	if signer.Email != "" {
		template.EmailAddresses = []string{signer.Email}
	}
	if signer.Repository != "" {
		template.ExtraExtensions = append(template.ExtraExtensions,
			pkix.Extension{Id: oidRepository, Value: []byte(signer.Repository)})
	}
	c.certificate = s.intermediate.certify(t, template, c.key.Public())
	if signer.Without&CertificateLog == 0 {
		// What the log promises is about the certificate without this extension.
		template.ExtraExtensions = append(template.ExtraExtensions,
			pkix.Extension{Id: oidSCTList, Value: s.promises(t, c.certificate)})
		c.certificate = s.intermediate.certify(t, template, c.key.Public())
	}
	return c
}

func der(t testing.TB, value any) []byte {
	t.Helper()
	data, err := asn1.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// promises gives a list of one signed certificate timestamp (RFC 6962, sections 3.2, 3.3).
func (s *Sigstore) promises(t testing.TB, of *x509.Certificate) []byte {
	t.Helper()
	at := binary.BigEndian.AppendUint64(nil, uint64(of.NotBefore.UnixMilli()))
	issuer := sha256.Sum256(s.intermediate.certificate.RawSubjectPublicKeyInfo)
	tbs := of.RawTBSCertificate

	message := append([]byte{0, 0}, at...) // version 1, a certificate timestamp
	message = append(message, 0, 1)        // of a certificate that is not issued yet
	message = append(message, issuer[:]...)
	message = append(message, 0) // the first of three bytes of a length
	message = append(message, prefixed(tbs)...)
	message = append(message, 0, 0) // no extensions

	one := append([]byte{0}, logID(t, s.ctlog)...)
	one = append(one, at...)
	one = append(one, 0, 0, 4, 3) // no extensions; SHA-256, ECDSA
	one = append(one, prefixed(sign(t, s.ctlog, message))...)
	return der(t, prefixed(prefixed(one)))
}

// prefixed puts the length of data, in two bytes, before it.
func prefixed(data []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(data))), data...) //nolint:gosec // what is signed here is small
}

func (c certified) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.certificate.Raw})
}
