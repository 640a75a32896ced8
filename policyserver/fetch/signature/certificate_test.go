package signature

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/test/sigstore"
)

// certificateOf is that of a layer's signer.
func certificateOf(t *testing.T, layer Layer) *x509.Certificate {
	t.Helper()
	certificate, err := ParseCertificate([]byte(layer.Annotations[AnnotationCertificate]))
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func TestCheckCertificate(t *testing.T) {
	s, foreign := sigstore.New(t), sigstore.New(t)
	trust, alice := trusted(t, s, 0), sigstore.Signer{Issuer: oidc, Email: "alice@test"}
	layer, other := byIdentity(t, s, alice), byIdentity(t, s, alice)
	unlogged := byIdentity(t, s, sigstore.Signer{Issuer: oidc, Email: "alice@test", Without: sigstore.TransparencyLog})
	late := byIdentity(t, s, sigstore.Signer{Issuer: oidc, Email: "alice@test", Late: 11 * time.Minute})
	tampered := Layer{append(slices.Clone(layer.Payload), ' '), layer.Annotations}
	bare := Layer{layer.Payload, map[string]string{AnnotationSignature: layer.Annotations[AnnotationSignature]}}
	bundle := NewBundle(s.StatementBundle(t, alice, sigstore.Statement(t, PredicateSign, digest, map[string]string{"env": "prod"})))
	message := NewBundle(s.MessageBundle(t, alice, []byte("another artefact")))
	intermediate, root := s.Chain()[0], s.Chain()[1]
	now, chain := time.Now(), s.Chain()
	later := now.Add(time.Hour)
	mine := certificateOf(t, layer)
	bundled, err := bundle.parsed.VerificationContent()
	if err != nil {
		t.Fatal(err)
	}
	messaged, err := message.parsed.VerificationContent()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		wanted Certificate
		trust  *Trust
		proofs []Proof
		want   string
	}{
		"as it is":                        {Certificate{Certificate: mine}, nil, []Proof{layer}, ""},
		"by a chain":                      {Certificate{Certificate: mine, Chain: chain}, nil, []Proof{layer}, ""},
		"by a chain the other way round":  {Certificate{Certificate: mine, Chain: []*x509.Certificate{root, intermediate}}, nil, []Proof{layer}, ""},
		"by a chain that ends early":      {Certificate{Certificate: mine, Chain: chain[:1]}, nil, []Proof{layer}, ""},
		"by a chain with a gap":           {Certificate{Certificate: mine, Chain: chain[1:]}, nil, []Proof{layer}, "the certificate is not trusted: x509: certificate signed by unknown authority"},
		"by a foreign chain":              {Certificate{Certificate: mine, Chain: foreign.Chain()}, nil, []Proof{layer}, "the certificate is not trusted: x509"},
		"of another certificate":          {Certificate{Certificate: certificateOf(t, other)}, nil, []Proof{layer}, "a signature is not of this key"},
		"of one of several":               {Certificate{Certificate: mine}, nil, []Proof{other, layer}, ""},
		"without the certificate in it":   {Certificate{Certificate: mine}, nil, []Proof{bare}, ""},
		"a bundle":                        {Certificate{Certificate: bundled.Certificate(), Chain: chain}, nil, []Proof{bundle}, ""},
		"a bundle, of another":            {Certificate{Certificate: mine}, nil, []Proof{bundle}, "a signature is not of this key"},
		"a bundle, of another artefact":   {Certificate{Certificate: messaged.Certificate()}, nil, []Proof{message}, "a signature is of the artefact"},
		"a bundle that is none":           {Certificate{Certificate: mine}, nil, []Proof{NewBundle([]byte("{"))}, "a bundle cannot be read"},
		"annotated":                       {Certificate{Certificate: mine, Annotations: map[string]string{"env": "prod"}}, nil, []Proof{layer}, ""},
		"annotated otherwise":             {Certificate{Certificate: mine, Annotations: map[string]string{"env": "test"}}, nil, []Proof{layer}, `a signature lacks the annotation "env" with value "test"`},
		"tampered":                        {Certificate{Certificate: mine}, nil, []Proof{tampered}, "a signature is not of this key"},
		"unsigned":                        {Certificate{Certificate: mine}, nil, nil, "the artefact has no signatures"},
		"early":                           {Certificate{Certificate: mine, Now: now.Add(-time.Hour)}, trust, []Proof{layer}, "the certificate is not usable: it is not valid before"},
		"an authority's":                  {Certificate{Certificate: intermediate}, trust, []Proof{layer}, "its key usage lacks digital signature"},
		"logged":                          {Certificate{Certificate: mine, Chain: chain, Logged: true}, trust, []Proof{layer}, ""},
		"logged, as it is":                {Certificate{Certificate: mine, Logged: true}, trust, []Proof{layer}, ""},
		"logged, a bundle":                {Certificate{Certificate: bundled.Certificate(), Chain: chain, Logged: true}, trust, []Proof{bundle}, ""},
		"logged, a bundle of another":     {Certificate{Certificate: mine, Logged: true}, trust, []Proof{bundle}, "a signature is not of this key"},
		"logged, tampered":                {Certificate{Certificate: mine, Logged: true}, trust, []Proof{tampered}, "a signature is not of this key"},
		"logged, by a foreign chain":      {Certificate{Certificate: mine, Chain: foreign.Chain(), Logged: true}, trust, []Proof{layer}, "leaf certificate verification failed"},
		"logged, annotated otherwise":     {Certificate{Certificate: mine, Logged: true, Annotations: map[string]string{"a": "b"}}, trust, []Proof{layer}, `lacks the annotation "a"`},
		"logged nowhere":                  {Certificate{Certificate: certificateOf(t, unlogged), Logged: true}, trust, []Proof{unlogged}, "not enough verified log entries"},
		"logged in none that is needed":   {Certificate{Certificate: certificateOf(t, unlogged), Chain: chain}, nil, []Proof{unlogged}, ""},
		"logged in a foreign log":         {Certificate{Certificate: mine, Logged: true}, trusted(t, foreign, 0), []Proof{layer}, "failed to verify log inclusion"},
		"logged, without a trust root":    {Certificate{Certificate: mine, Logged: true}, nil, []Proof{layer}, ErrNoTrust.Error()},
		"logged, without a log":           {Certificate{Certificate: mine, Logged: true}, trusted(t, s, sigstore.TransparencyLog), []Proof{layer}, "the trust root of Sigstore has no transparency log"},
		"expired":                         {Certificate{Certificate: certificateOf(t, unlogged), Now: later}, trust, []Proof{unlogged}, "not enough verified log entries"},
		"expired, without a trust root":   {Certificate{Certificate: mine, Now: later}, nil, []Proof{layer}, ErrNoTrust.Error()},
		"expired, signed before":          {Certificate{Certificate: mine, Chain: chain, Now: later}, trust, []Proof{layer}, ""},
		"expired, signed after":           {Certificate{Certificate: certificateOf(t, late), Now: later}, trust, []Proof{late}, "integrated time outside certificate validity"},
		"logged after it expired":         {Certificate{Certificate: certificateOf(t, late), Logged: true}, trust, []Proof{late}, "integrated time outside certificate validity"},
		"expired authorities, not logged": {Certificate{Certificate: mine, Chain: chain, Now: now.Add(48 * time.Hour)}, nil, []Proof{layer}, ErrNoTrust.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.wanted.Now.IsZero() {
				tc.wanted.Now = now
			}
			err := tc.wanted.Check(tc.trust, digest, tc.proofs)
			wantError(t, err, tc.want)
			if got, want := errors.Is(err, ErrNoTrust), tc.want == ErrNoTrust.Error(); got != want {
				t.Errorf("got %v, of which it is %v that a trust root is missing, want %v", err, got, want)
			}
		})
	}
	wantError(t, Certificate{Certificate: mine, Now: now}.Check(nil, digest[:len(digest)-1]+"0", []Proof{layer}), "a signature is of the artefact")
}

// Certificates that were not made for signing are refused, whoever signed with their keys.
func TestCheckCertificateIsForSigning(t *testing.T) {
	s := sigstore.New(t)
	layer := byIdentity(t, s, sigstore.Signer{Issuer: oidc, Email: "alice@test"})
	for want, change := range map[string]func(*x509.Certificate){
		"its key usage lacks digital signature": func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign },
		"its extended key usage lacks code":     func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} },
		"it has no subject alternative name":    func(c *x509.Certificate) { c.EmailAddresses = nil },
		"":                                      func(*x509.Certificate) {},
		"it is not valid before " + "2999":      func(c *x509.Certificate) { c.NotBefore = future() },
	} {
		certificate := certificateOf(t, layer)
		change(certificate)
		wantError(t, Certificate{Certificate: certificate, Now: time.Now()}.isForSigning(), want)
	}
}

func future() time.Time { return time.Date(2999, time.January, 1, 0, 0, 0, 0, time.UTC) }

func TestParseCertificate(t *testing.T) {
	s := sigstore.New(t)
	block := func(kind string, content []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content})
	}
	for name, tc := range map[string]struct {
		text []byte
		want string
	}{
		"one":         {block("CERTIFICATE", s.Chain()[0].Raw), ""},
		"none":        {nil, "no PEM found"},
		"a key":       {block("PUBLIC KEY", s.Chain()[0].Raw), "no PEM found; want a PEM block CERTIFICATE"},
		"a wrong one": {block("CERTIFICATE", []byte("x")), "PEM block CERTIFICATE: x509"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseCertificate(tc.text)
			wantError(t, err, tc.want)
		})
	}
}
