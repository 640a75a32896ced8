package signature

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/test/sigstore"
)

// Bundles are of the manifest of an artefact, or of a statement about it.
var (
	manifest       = []byte(`{"schemaVersion":2}`)
	manifestDigest = fmt.Sprintf("sha256:%x", sha256.Sum256(manifest))
)

// bundleKey is how a signer with a key signs a bundle.
func (s signer) bundleKey() sigstore.Key { return s.signature }

// changed is a bundle with one member set: the path to it, and its JSON.
func changed(t *testing.T, data []byte, value string, path ...string) Bundle {
	t.Helper()
	var whole map[string]any
	if err := json.Unmarshal(data, &whole); err != nil {
		t.Fatal(err)
	}
	place := whole
	for _, step := range path[:len(path)-1] {
		place = place[step].(map[string]any)
	}
	place[path[len(path)-1]] = json.RawMessage(value)
	data, err := json.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	return NewBundle(data)
}

func TestCheckBundlesByIdentity(t *testing.T) {
	s := sigstore.New(t)
	trust := trusted(t, s, 0)
	alice := sigstore.Signer{Issuer: oidc, Email: "alice@test"}
	sign := func(signer sigstore.Signer, statement []byte) Bundle {
		return NewBundle(s.StatementBundle(t, signer, statement))
	}
	flawed := func(change func(*sigstore.Signer)) Bundle {
		signer := alice
		change(&signer)
		return sign(signer, sigstore.Statement(t, PredicateSign, manifestDigest, nil))
	}
	statement := sigstore.Statement(t, PredicateSign, manifestDigest, map[string]string{"env": "prod"})
	good, message := s.StatementBundle(t, alice, statement), s.MessageBundle(t, alice, manifest)
	wanted := subject("alice@test")
	for name, tc := range map[string]struct {
		wanted contract.Signature
		bundle Bundle
		want   string // part of the error; empty for none
	}{
		"a statement":              {wanted, NewBundle(good), ""},
		"an annotation":            {annotated(wanted, "env", "prod"), NewBundle(good), ""},
		"another value":            {annotated(wanted, "env", "test"), NewBundle(good), `lacks the annotation "env" with value "test"`},
		"another subject":          {subject("bob@test"), NewBundle(good), `of subject "alice@test", want "bob@test"`},
		"another artefact":         {wanted, sign(alice, sigstore.Statement(t, PredicateSign, other, nil)), "does not match any digest in statement"},
		"another statement":        {wanted, sign(alice, sigstore.Statement(t, "https://spdx.dev/Document", manifestDigest, nil)), `is of type "https://spdx.dev/Document"`},
		"no subject":               {wanted, sign(alice, []byte(`{"_type":"https://in-toto.io/Statement/v1","predicateType":"`+PredicateSign+`"}`)), "match digests in statement"},
		"no statement":             {wanted, sign(alice, []byte("text")), "statement"},
		"a message":                {wanted, NewBundle(message), ""},
		"a message's annotation":   {annotated(wanted, "env", "prod"), NewBundle(message), "lacks the annotation"},
		"another message":          {wanted, NewBundle(s.MessageBundle(t, alice, []byte("other"))), "verify signature"},
		"tampered statement":       {wanted, changed(t, good, `"e30="`, "dsseEnvelope", "payload"), "payload hash"},
		"tampered type":            {wanted, changed(t, good, `"text/plain"`, "dsseEnvelope", "payloadType"), "verify"},
		"no signature":             {wanted, changed(t, good, `[]`, "dsseEnvelope", "signatures"), "signature"},
		"tampered signature":       {wanted, changed(t, message, `"AAAA"`, "messageSignature", "signature"), "signature"},
		"tampered digest":          {wanted, changed(t, message, `"AAAA"`, "messageSignature", "messageDigest", "digest"), "digest"},
		"no proof in the log":      {wanted, changed(t, good, `[]`, "verificationMaterial", "tlogEntries"), "not enough verified log entries"},
		"no entry":                 {wanted, flawed(func(s *sigstore.Signer) { s.Without = sigstore.TransparencyLog }), "not enough verified log entries"},
		"a certificate unlogged":   {wanted, flawed(func(s *sigstore.Signer) { s.Without = sigstore.CertificateLog }), "signed certificate timestamp"},
		"expired when it signed":   {wanted, flawed(func(s *sigstore.Signer) { s.Late = time.Hour }), "integrated time outside certificate validity"},
		"foreign authority":        {wanted, NewBundle(sigstore.New(t).StatementBundle(t, alice, statement)), "not enough verified log entries"},
		"a key for an identity":    {wanted, NewBundle(sigstore.KeyStatementBundle(t, newECDSA(t).bundleKey(), statement)), "not enough verified log entries"},
		"an identity for a key":    {newECDSA(t).wanted(), NewBundle(good), errOtherKey.Error()},
		"a bundle of no form":      {wanted, NewBundle([]byte("{")), "a bundle cannot be read"},
		"a bundle of no version":   {wanted, changed(t, good, `"text/plain"`, "mediaType"), "a bundle cannot be read"},
		"a bundle of no form, key": {newECDSA(t).wanted(), NewBundle(nil), "a bundle cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			wantError(t, Check(all(tc.wanted), trust, manifestDigest, []Proof{tc.bundle}), tc.want)
		})
	}
}

func TestCheckBundlesByKey(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	statement := sigstore.Statement(t, PredicateSign, manifestDigest, map[string]string{"env": "prod"})
	for name, s := range map[string]signer{"ECDSA": newECDSA(t), "RSA": {t, rsaKey}, "Ed25519": {t, edKey}} {
		t.Run(name, func(t *testing.T) {
			good := sigstore.KeyStatementBundle(t, s.bundleKey(), statement)
			message := NewBundle(sigstore.KeyMessageBundle(t, s.bundleKey(), manifest))
			wantMessage := ""
			if name == "Ed25519" { // it signs messages, and there is a digest only
				wantMessage = "a bundle signs a digest, which a key of type ed25519.PublicKey cannot be checked by"
			}
			other := sigstore.KeyStatementBundle(t, s.bundleKey(), sigstore.Statement(t, PredicateSign, other, nil))
			predicate := sigstore.KeyStatementBundle(t, s.bundleKey(), sigstore.Statement(t, "https://spdx.dev/Document", manifestDigest, nil))
			several := sigstore.KeyStatementBundle(t, s.bundleKey(), []byte(`{"predicateType":"`+PredicateSign+`","subject":[{},{}]}`))
			for name, tc := range map[string]struct {
				wanted contract.Signature
				bundle Bundle
				want   string
			}{
				"a statement":        {s.wanted(), NewBundle(good), ""},
				"an annotation":      {annotated(s.wanted(), "env", "prod"), NewBundle(good), ""},
				"another value":      {annotated(s.wanted(), "env", "test"), NewBundle(good), "lacks the annotation"},
				"a stranger":         {newECDSA(t).wanted(), NewBundle(good), errOtherKey.Error()},
				"another artefact":   {s.wanted(), NewBundle(other), `a signature is of the artefact "sha256:bbbb`},
				"another statement":  {s.wanted(), NewBundle(predicate), "a signed statement is of type"},
				"several artefacts":  {s.wanted(), NewBundle(several), "is about 2 artefacts, want 1"},
				"no statement":       {s.wanted(), NewBundle(sigstore.KeyStatementBundle(t, s.bundleKey(), []byte("text"))), "not JSON of the right form"},
				"two signatures":     {s.wanted(), changed(t, good, `[{"sig":"AAAA"},{"sig":"AAAA"}]`, "dsseEnvelope", "signatures"), "a bundle has 2 signatures"},
				"tampered statement": {s.wanted(), changed(t, good, `"e30="`, "dsseEnvelope", "payload"), errOtherKey.Error()},
				"tampered type":      {s.wanted(), changed(t, good, `"text/plain"`, "dsseEnvelope", "payloadType"), errOtherKey.Error()},
				"a message":          {s.wanted(), message, wantMessage},
			} {
				t.Run(name, func(t *testing.T) {
					wantError(t, Check(all(tc.wanted), nil, manifestDigest, []Proof{tc.bundle}), tc.want)
				})
			}
		})
	}
}

// A signature of a digest is one of the manifest only when the digest is the manifest's.
func TestCheckBundlesOfAnotherMessage(t *testing.T) {
	alice := newECDSA(t)
	bundle := sigstore.KeyMessageBundle(t, alice.bundleKey(), []byte("other"))
	wantError(t, Check(all(alice.wanted()), nil, manifestDigest, []Proof{NewBundle(bundle)}), "a signature is of the artefact")
	weak := changed(t, bundle, `"SHA2_512"`, "messageSignature", "messageDigest", "algorithm")
	wantError(t, Check(all(alice.wanted()), nil, manifestDigest, []Proof{weak}), "by SHA2_512, want SHA2_256")
}
