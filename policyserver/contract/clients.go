package contract

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"slices"
)

// AuditScannerIdentity is the one URI (subject alternative name) of the audit scanner's client
// certificate. Whoever presents it, from an authority of the installation, may ask for
// verdicts where clients need a certificate.
const AuditScannerIdentity = "urn:kubewarden:audit-scanner"

// Modes of EnvClientCAMode: what becomes of clients without a certificate that counts.
const (
	// ClientsObserved lets them in, and tells of them.
	ClientsObserved = "observe"
	// ClientsRequired refuses them; it is upstream's and the default.
	ClientsRequired = "require"
)

// Clients is what a replica tells of those who call it, where they are asked for a certificate.
type Clients struct {
	// Mode is ClientsObserved or ClientsRequired.
	Mode string `json:"mode"`
	// Proven says that somebody proved to be of the client authorities, since these are what
	// they are. The operator and the audit scanner do not count.
	Proven bool `json:"proven,omitempty"`
	// Unproven says that somebody did not lately: within minutes, not seconds.
	Unproven bool `json:"unproven,omitempty"`
}

// AuthoritiesFingerprint is the SHA-256, in hex, of all certificates in texts in PEM, whatever
// their order and however often they occur; empty when there is none. What cannot be read does
// not count.
func AuthoritiesFingerprint(texts ...[]byte) string {
	var all [][]byte
	for _, text := range texts {
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			if _, err := x509.ParseCertificate(block.Bytes); err == nil {
				all = append(all, block.Bytes)
			}
		}
	}
	if len(all) == 0 {
		return ""
	}
	slices.SortFunc(all, bytes.Compare)
	all = slices.CompactFunc(all, bytes.Equal)
	sum := sha256.Sum256(slices.Concat(all...))
	return hex.EncodeToString(sum[:])
}
