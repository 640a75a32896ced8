package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

// noon is when the tests take place.
var noon = time.Date(2026, time.June, 1, 12, 0, 0, 0, time.UTC)

// party has a certificate and its key.
type party struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// issue makes a certificate that is valid for a day around noon, but for what changes it; the
// issuer is nil for one that signs itself.
func issue(t *testing.T, issuer *party, name string, change func(*x509.Certificate)) *party {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: noon.Add(-12 * time.Hour), NotAfter: noon.Add(12 * time.Hour), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	change(template)
	by := issuer
	if by == nil {
		by = &party{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.certificate, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &party{certificate, key}
}

func unchanged(*x509.Certificate) {}

func authority(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign }

func expired(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Second) }

func early(c *x509.Certificate) { c.NotBefore = noon.Add(time.Second) }

// both changes a certificate twice.
func both(one, two func(*x509.Certificate)) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		one(c)
		two(c)
	}
}

func (p *party) der() map[string]any { return encodedAs("Der", p.certificate.Raw) }

func (p *party) pem() map[string]any {
	return encodedAs("Pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.certificate.Raw}))
}

func encodedAs(encoding string, data []byte) map[string]any {
	numbers := make([]int, len(data))
	for i, octet := range data {
		numbers[i] = int(octet)
	}
	return map[string]any{"encoding": encoding, "data": numbers}
}

func payload(t *testing.T, members map[string]any) []byte {
	t.Helper()
	encoded, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func ask(t *testing.T, c *Capability, content []byte) (string, error) {
	t.Helper()
	answer, err := c.Call(t.Context(), host.Request{Operation: "v1/is_certificate_trusted", Payload: content})
	return string(answer), err
}

func newCapability(roots ...*party) *Capability {
	return New(Config{
		Now: func() time.Time { return noon },
		Roots: func() (*x509.CertPool, error) {
			pool := x509.NewCertPool()
			for _, root := range roots {
				pool.AddCert(root.certificate)
			}
			return pool, nil
		},
	})
}

func TestIsCertificateTrusted(t *testing.T) {
	root := issue(t, nil, "root", authority)
	oldRoot := issue(t, nil, "old root", both(authority, expired))
	middle, lateMiddle := issue(t, root, "middle", authority), issue(t, root, "middle", both(authority, expired))
	earlyMiddle := issue(t, root, "middle", both(authority, early))
	noAuthority := issue(t, root, "no authority", unchanged)
	leaf := issue(t, middle, "leaf", unchanged)
	stranger := issue(t, nil, "root", authority)
	const trusted, expiry = `{"trusted":true,"reason":""}`, `{"trusted":false,"reason":"Certificate is being used after its expiration date"}`
	const soon = `{"trusted":false,"reason":"Certificate is being used before its validity date"}`
	const untrusted = `{"trusted":false,"reason":"Certificate is not trusted by the provided cert chain"}`
	for name, tc := range map[string]struct {
		cert  map[string]any
		chain []map[string]any // nil for none
		at    any
		want  string
	}{
		"a chain":                           {leaf.der(), []map[string]any{middle.der(), root.der()}, nil, trusted},
		"a chain in PEM":                    {leaf.pem(), []map[string]any{middle.pem(), root.der()}, "", trusted},
		"a chain without a root":            {leaf.der(), []map[string]any{middle.der()}, nil, trusted},
		"a root alone":                      {issue(t, root, "x", unchanged).der(), []map[string]any{root.der()}, nil, trusted},
		"a root that expired":               {issue(t, oldRoot, "x", unchanged).der(), []map[string]any{oldRoot.der()}, nil, trusted},
		"a use of any kind":                 {issue(t, root, "x", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }).der(), []map[string]any{root.der()}, nil, trusted},
		"itself, signed by itself":          {stub(t).der(), nil, nil, untrusted},
		"roots of the system":               {issue(t, root, "x", unchanged).der(), nil, nil, trusted},
		"none of the system":                {issue(t, stranger, "x", unchanged).der(), nil, nil, untrusted},
		"a middle that is missing":          {leaf.der(), []map[string]any{root.der()}, nil, untrusted},
		"another root of that name":         {leaf.der(), []map[string]any{middle.der(), stranger.der()}, nil, untrusted},
		"the root in the middle":            {leaf.der(), []map[string]any{root.der(), middle.der(), stranger.der()}, nil, untrusted},
		"an empty chain":                    {leaf.der(), []map[string]any{}, nil, untrusted},
		"its own authority":                 {leaf.der(), []map[string]any{leaf.der()}, nil, untrusted},
		"an authority":                      {middle.der(), []map[string]any{root.der()}, nil, `{"trusted":false,"reason":"Certificate not trusted: it is an authority's, want an end entity's"}`},
		"a middle that is no authority":     {issue(t, noAuthority, "x", unchanged).der(), []map[string]any{noAuthority.der(), root.der()}, nil, untrusted},
		"expired":                           {issue(t, root, "x", expired).der(), []map[string]any{root.der()}, nil, expiry},
		"expired, of a stranger":            {issue(t, stranger, "x", expired).der(), []map[string]any{root.der()}, nil, expiry},
		"early":                             {issue(t, root, "x", early).der(), []map[string]any{root.der()}, nil, soon},
		"a middle that expired":             {issue(t, lateMiddle, "x", unchanged).der(), []map[string]any{lateMiddle.der(), root.der()}, nil, expiry},
		"a middle that is early":            {issue(t, earlyMiddle, "x", unchanged).der(), []map[string]any{earlyMiddle.der(), root.der()}, nil, soon},
		"a middle that expired, a stranger": {issue(t, lateMiddle, "x", unchanged).der(), []map[string]any{lateMiddle.der(), stranger.der()}, nil, untrusted},
		"at a time":                         {leaf.der(), []map[string]any{middle.der(), root.der()}, "2026-06-01T23:59:59Z", trusted},
		"at a later time":                   {leaf.der(), []map[string]any{middle.der(), root.der()}, "2026-06-02T00:00:01Z", expiry},
		"at an earlier time":                {leaf.der(), []map[string]any{middle.der(), root.der()}, "2026-06-01T00:00:00+02:00", soon},
		"at no time":                        {leaf.der(), []map[string]any{middle.der(), root.der()}, "0001-01-01T00:00:00Z", soon},
	} {
		t.Run(name, func(t *testing.T) {
			members := map[string]any{"cert": tc.cert, "not_after": tc.at}
			if tc.chain != nil {
				members["cert_chain"] = tc.chain
			}
			got, err := ask(t, newCapability(root), payload(t, members))
			if err != nil || got != tc.want {
				t.Errorf("got %s, %v\nwant %s", got, err, tc.want)
			}
		})
	}
}

// stub signs itself and is no authority.
func stub(t *testing.T) *party {
	t.Helper()
	return issue(t, nil, "stub", unchanged)
}

func TestIsCertificateTrustedRefusesPayloads(t *testing.T) {
	root := issue(t, nil, "root", authority)
	with := func(members map[string]any) []byte { return payload(t, members) }
	for name, tc := range map[string]struct {
		payload []byte
		want    string
	}{
		"no JSON":       {[]byte(`{`), "decode payload: unexpected end"},
		"a list":        {[]byte(`[]`), "decode payload: json: cannot unmarshal array"},
		"no cert":       {[]byte(`{"not_after":null}`), `cert: encoding is ""; allowed are "Pem" and "Der"`},
		"an encoding":   {[]byte(`{"cert":{"encoding":"pem","data":[1]},"not_after":null}`), `cert: encoding is "pem"; allowed are`},
		"a text":        {[]byte(`{"cert":{"encoding":"Der","data":"AAAA"},"not_after":null}`), `data is "AAAA"; want a list of numbers from 0 to 255`},
		"a number":      {[]byte(`{"cert":{"encoding":"Der","data":[256]},"not_after":null}`), `data is [256]: json: cannot unmarshal number 256`},
		"no number":     {[]byte(`{"cert":{"encoding":"Der","data":[1,null]},"not_after":null}`), `data is [1,null]; want`},
		"no data":       {[]byte(`{"cert":{"encoding":"Der","data":[]},"not_after":null}`), "cert: data is missing"},
		"a large one":   {with(map[string]any{"cert": encodedAs("Der", make([]byte, 16<<10+1)), "not_after": nil}), "cert: data has 16385 bytes, at most 16384 are allowed"},
		"in the chain":  {with(map[string]any{"cert": root.der(), "cert_chain": []any{root.der(), map[string]any{}}, "not_after": nil}), `cert_chain[1]: encoding is ""`},
		"a long chain":  {with(map[string]any{"cert": root.der(), "cert_chain": make([]struct{}, 17), "not_after": nil}), "cert_chain has 17 certificates, at most 16"},
		"a large whole": {append(with(map[string]any{}), make([]byte, 1<<20)...), "payload has 1048578 bytes, at most 1048576"},
		"no time":       {with(map[string]any{"cert": root.der()}), "not_after is missing; want a time in RFC 3339, or null"},
		"another time":  {with(map[string]any{"cert": root.der(), "not_after": "tomorrow"}), `Timestamp not_after is not in RFC3339 format: it is "tomorrow"`},
		"a time in seconds": {
			with(map[string]any{"cert": root.der(), "not_after": 1}), "not_after is 1; want a time in RFC 3339",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ask(t, newCapability(), tc.payload)
			var refusal host.RefusalError
			if !errors.As(err, &refusal) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v\nwant a refusal that contains %q", err, tc.want)
			}
		})
	}
}

func TestIsCertificateTrustedFailsOnWhatIsNoCertificate(t *testing.T) {
	root := issue(t, nil, "root", authority)
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: root.certificate.Raw})
	for name, tc := range map[string]struct {
		members map[string]any
		want    string
	}{
		"no PEM":       {map[string]any{"cert": encodedAs("Pem", []byte("x"))}, "cert: Certificate PEM data is not valid: "},
		"another PEM":  {map[string]any{"cert": encodedAs("Pem", key)}, "cert: Certificate PEM data is not valid: "},
		"no DER":       {map[string]any{"cert": encodedAs("Der", []byte("x"))}, "cert: Certificate is not a valid end-entity certificate: "},
		"in the chain": {map[string]any{"cert": root.der(), "cert_chain": []any{root.der(), encodedAs("Der", []byte("x"))}}, "cert_chain[1]: Certificate is not a valid"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.members["not_after"] = nil
			_, err := ask(t, newCapability(), payload(t, tc.members))
			var refusal host.RefusalError
			if err == nil || errors.As(err, &refusal) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v\nwant a failure that contains %q", err, tc.want)
			}
		})
	}
	failing := New(Config{Now: time.Now, Roots: func() (*x509.CertPool, error) { return nil, errors.New("none here") }})
	_, err := ask(t, failing, payload(t, map[string]any{"cert": root.der(), "not_after": nil}))
	if err == nil || !strings.Contains(err.Error(), "read the authorities of the system: none here") {
		t.Errorf("got %v of a system without authorities", err)
	}
	_, err = failing.Call(t.Context(), host.Request{Operation: "v2/is_certificate_trusted"})
	if err == nil || err.Error() != "unknown operation: v2/is_certificate_trusted" {
		t.Errorf("got %v for an operation that there is none of", err)
	}
}

// Whatever a guest sends, it is answered or refused, and what is trusted has a certificate.
func FuzzCall(f *testing.F) {
	for _, seed := range []string{
		`{"cert":{"encoding":"Der","data":[48,0]},"cert_chain":[],"not_after":null}`,
		`{"cert":{"encoding":"Pem","data":[45]},"cert_chain":null,"not_after":""}`,
		`{"cert":{},"not_after":"2026-06-01T00:00:00+02:00"}`, `null`, `[]`, `{"cert":{"data":[null]}}`,
	} {
		f.Add([]byte(seed))
	}
	c := newCapability()
	f.Fuzz(func(t *testing.T, content []byte) {
		answer, err := ask(t, c, content)
		if err == nil && !strings.HasPrefix(answer, `{"trusted":false,"reason":"`) {
			t.Errorf("%q is answered with %s: there is nobody to trust", content, answer)
		}
	})
}
