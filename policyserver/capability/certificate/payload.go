package certificate

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// Bounds on what a guest sends. They keep the work on one call, which nothing interrupts,
// within some ten milliseconds.
const (
	maxPayloadBytes     = 1 << 20
	maxChain            = 16
	maxCertificateBytes = 16 << 10
	maxRSABits          = 8192
)

// Encodings of certificates.
const (
	encodingPEM = "Pem"
	encodingDER = "Der"
)

// question is the payload.
type question struct {
	Certificate encoded `json:"cert"`
	// Chain is nil where the guest leaves the choice of authorities to the host. It begins
	// with who signed the certificate and ends with the one that is trusted.
	Chain []encoded `json:"cert_chain"`
	// NotAfter is the time at which the certificate is to be trusted; nil is missing.
	NotAfter json.RawMessage `json:"not_after"`
}

type encoded struct {
	Encoding string `json:"encoding"`
	Data     octets `json:"data"`
}

// octets are a list of numbers in JSON, where encoding/json would write a text.
type octets []byte

// UnmarshalJSON reads a list of numbers from 0 to 255.
func (o *octets) UnmarshalJSON(data []byte) error {
	if !bytes.HasPrefix(data, []byte("[")) || bytes.Contains(data, []byte("null")) {
		return fmt.Errorf("data is %.32s; want a list of numbers from 0 to 255", data)
	}
	var read []byte
	if err := json.Unmarshal(data, &read); err != nil {
		return fmt.Errorf("data is %.32s: %w; want a list of numbers from 0 to 255", data, err)
	}
	*o = read
	return nil
}

// decode reads the payload; now is the time where the guest gives none. The error is for the
// guest.
func decode(payload []byte, now time.Time) (asked question, at time.Time, err error) {
	if len(payload) > maxPayloadBytes {
		return question{}, time.Time{}, fmt.Errorf("payload has %d bytes, at most %d are allowed", len(payload), maxPayloadBytes)
	}
	if err := json.Unmarshal(payload, &asked); err != nil {
		return question{}, time.Time{}, fmt.Errorf("decode payload: %w", err)
	}
	if len(asked.Chain) > maxChain {
		return question{}, time.Time{}, fmt.Errorf("cert_chain has %d certificates, at most %d are allowed", len(asked.Chain), maxChain)
	}
	if err := asked.Certificate.check(); err != nil {
		return question{}, time.Time{}, fmt.Errorf("cert: %w", err)
	}
	for i, next := range asked.Chain {
		if err := next.check(); err != nil {
			return question{}, time.Time{}, fmt.Errorf("cert_chain[%d]: %w", i, err)
		}
	}
	at, err = decodeTime(asked.NotAfter, now)
	return asked, at, err
}

func (e encoded) check() error {
	switch {
	case e.Encoding != encodingPEM && e.Encoding != encodingDER:
		return fmt.Errorf("encoding is %.32q; allowed are %q and %q", e.Encoding, encodingPEM, encodingDER)
	case len(e.Data) == 0:
		return errors.New("data is missing; want a list of numbers from 0 to 255")
	case len(e.Data) > maxCertificateBytes:
		return fmt.Errorf("data has %d bytes, at most %d are allowed", len(e.Data), maxCertificateBytes)
	}
	return nil
}

// decodeTime reads when a certificate is to be trusted. Upstream's guests always send the
// member, if need be as null.
func decodeTime(raw json.RawMessage, now time.Time) (time.Time, error) {
	const want = "want a time in RFC 3339, or null or \"\" for now"
	if raw == nil {
		return time.Time{}, errors.New("not_after is missing; " + want)
	}
	var text *string
	if err := json.Unmarshal(raw, &text); err != nil {
		return time.Time{}, fmt.Errorf("not_after is %.64s; %s", raw, want)
	}
	if text == nil || *text == "" {
		return now, nil
	}
	at, err := time.Parse(time.RFC3339, *text)
	if err != nil {
		return time.Time{}, fmt.Errorf("Timestamp not_after is not in RFC3339 format: it is %.64q; %s", *text, want) //nolint:staticcheck // upstream's text, known to users
	}
	return at, nil
}

// parse reads the certificate; the first where there are several in PEM.
func (e encoded) parse() (*x509.Certificate, error) {
	der := []byte(e.Data)
	if e.Encoding == encodingPEM {
		block, _ := pem.Decode(der)
		if block == nil || block.Type != "CERTIFICATE" {
			return nil, errors.New("Certificate PEM data is not valid: no block CERTIFICATE in it") //nolint:staticcheck // upstream's text, known to users
		}
		der = block.Bytes
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("Certificate is not a valid end-entity certificate: %w", err) //nolint:staticcheck // upstream's text, known to users
	}
	if key, is := certificate.PublicKey.(*rsa.PublicKey); is && key.N.BitLen() > maxRSABits {
		return nil, fmt.Errorf("certificate has an RSA key of %d bits, at most %d are allowed", key.N.BitLen(), maxRSABits)
	}
	return certificate, nil
}
