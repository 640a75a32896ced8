package conformance

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"time"
)

// certificates puts certificates where a text names them, as guests send them: "<root>" is
// an authority, "<leaf>" was issued by it and is valid through June 2026, "<other>" is an
// authority that has nothing to do with them.
var certificates = sync.OnceValue(func() *strings.Replacer {
	root, rootKey := issue("root", nil, nil)
	other, _ := issue("other", nil, nil)
	leaf, _ := issue("leaf", root, rootKey)
	return strings.NewReplacer("<root>", encoded(root), "<other>", encoded(other), "<leaf>", encoded(leaf))
})

// issue makes a certificate; without an issuer it is an authority that signs itself. There
// is nothing that can go wrong but the machine.
func issue(name string, issuer *x509.Certificate, issuerKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true,
		NotBefore: time.Date(2026, time.June, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2026, time.June, 30, 0, 0, 0, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if issuer == nil {
		template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
		issuer, issuerKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), issuerKey)
	must(err)
	certificate, err := x509.ParseCertificate(der)
	must(err)
	return certificate, key
}

// encoded is a certificate as a list of numbers, as guests send it.
func encoded(certificate *x509.Certificate) string {
	numbers := make([]int, 0, len(certificate.Raw))
	for _, octet := range certificate.Raw {
		numbers = append(numbers, int(octet))
	}
	list, err := json.Marshal(numbers)
	must(err)
	return fmt.Sprintf(`{"encoding":"Der","data":%s}`, list)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
