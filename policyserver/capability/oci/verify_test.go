package oci

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/signature"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/signature/signaturetest"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/test/sigstore"
)

const (
	issuer   = "https://oidc.test"
	github   = "https://token.actions.githubusercontent.com"
	workflow = "https://github.com/kubewarden/policy/.github/workflows/release.yml@refs/tags/v1"
)

// signAs stores signatures of the manifest of a digest by identities, as cosign does, and
// gives the certificate of the last.
func (i *images) signAs(t *testing.T, s *sigstore.Sigstore, digest string, signers ...sigstore.Signer) (certificate string) {
	t.Helper()
	payload, err := signaturetest.Payload(digest, map[string]string{"env": "prod"})
	if err != nil {
		t.Fatal(err)
	}
	signatures := make([]map[string]string, 0, len(signers))
	for _, signer := range signers {
		signatures = append(signatures, s.Layer(t, signer, payload))
		certificate = signatures[len(signatures)-1][signature.AnnotationCertificate]
	}
	reference, err := name.ParseReference(i.reference("any"))
	if err != nil {
		t.Fatal(err)
	}
	if err := signaturetest.Attach(reference.Context().Digest(digest), payload, signatures); err != nil {
		t.Fatal(err)
	}
	return certificate
}

// signBy signs a tag with a key.
func (i *images) signBy(t *testing.T, signer *signaturetest.Signer, tag string) {
	t.Helper()
	reference, err := name.ParseReference(i.reference(tag))
	if err != nil {
		t.Fatal(err)
	}
	if err := signer.Sign(reference); err != nil {
		t.Fatal(err)
	}
}

func newSigner(t *testing.T) *signaturetest.Signer {
	t.Helper()
	signer, err := signaturetest.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// trusting asks the registry, and verifies by a trust root; nil for none.
func (i *images) trusting(t *testing.T, root []byte) *Capability {
	t.Helper()
	sources := contract.Sources{InsecureSources: []string{i.Listener.Addr().String()}}
	c := New(Config{TTL: time.Hour, Now: time.Now})
	c.Use(fetch.New(fetch.Config{Dir: t.TempDir(), Sources: sources, Trust: func() (*signature.Trust, error) {
		if root == nil {
			return nil, errors.New("still on its way")
		}
		return signature.ParseTrust(root)
	}}))
	return c
}

// members of a payload.
type members map[string]any

func (m members) with(name string, value any) members {
	changed := maps.Clone(m)
	changed[name] = value
	return changed
}

func (m members) text(t *testing.T) string {
	t.Helper()
	encoded, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

// numbers is how guests send bytes.
func numbers(text string) []int {
	list := make([]int, 0, len(text))
	for _, octet := range []byte(text) {
		list = append(list, int(octet))
	}
	return list
}

func TestVerify(t *testing.T) {
	i, s, foreign := newImages(t), sigstore.New(t), sigstore.New(t)
	key, stranger := newSigner(t), newSigner(t)
	byKey := digest(t, i.push(t, "key", "key"))
	i.signBy(t, key, "key")
	byAlice := digest(t, i.push(t, "alice", "alice"))
	certificate := i.signAs(t, s, byAlice, sigstore.Signer{Issuer: issuer, Email: "bob@test"}, sigstore.Signer{Issuer: issuer, Email: "alice@test"})
	byProject := digest(t, i.push(t, "project", "project"))
	i.signAs(t, s, byProject, sigstore.Signer{Issuer: issuer, URI: "https://git.test/team/app"})
	byWorkflow := digest(t, i.push(t, "workflow", "workflow"))
	i.signAs(t, s, byWorkflow, sigstore.Signer{Issuer: github, URI: workflow, Repository: "kubewarden/policy"})
	byForeign := digest(t, i.push(t, "foreign", "foreign"))
	i.signAs(t, foreign, byForeign, sigstore.Signer{Issuer: issuer, Email: "alice@test"})
	unlogged := digest(t, i.push(t, "unlogged", "unlogged"))
	unloggedCertificate := i.signAs(t, s, unlogged, sigstore.Signer{Issuer: issuer, Email: "alice@test", Without: sigstore.TransparencyLog})
	late := digest(t, i.push(t, "late", "late"))
	lateCertificate := i.signAs(t, s, late, sigstore.Signer{Issuer: issuer, Email: "alice@test", Late: 11 * time.Minute})
	i.push(t, "unsigned", "unsigned")
	i.push(t, "tampered", "before")
	i.signBy(t, key, "tampered")
	i.push(t, "tampered", "after")

	alice := members{"issuer": issuer, "subject": "alice@test"}
	keys := members{"type": "SigstorePubKeyVerify", "image": i.reference("key"), "pub_keys": []string{key.PublicKey}}
	identity := members{"type": "SigstoreKeylessVerify", "image": i.reference("alice"), "keyless": []members{alice}}
	prefix := members{"type": "SigstoreKeylessPrefixVerify", "image": i.reference("project"), "keyless_prefix": []members{{"issuer": issuer, "url_prefix": "https://git.test/team"}}}
	action := members{"type": "SigstoreGithubActionsVerify", "image": i.reference("workflow"), "owner": "kubewarden", "repo": "policy"}
	own := members{"type": "SigstoreCertificateVerify", "image": i.reference("alice"), "certificate": numbers(certificate), "certificate_chain": nil, "require_rekor_bundle": true}
	failed := "Image verification failed: missing signatures"
	c := i.trusting(t, s.TrustedRoot(t, 0))
	for name, tc := range map[string]verification{
		"key":                          {keys, byKey, ""},
		"key, image by digest":         {keys.with("image", strings.Replace(i.reference("key"), ":key", "@"+byKey, 1)), byKey, ""},
		"key of a stranger":            {keys.with("pub_keys", []string{stranger.PublicKey}), "", failed},
		"key, and of a stranger":       {keys.with("pub_keys", []string{key.PublicKey, stranger.PublicKey}), "", failed},
		"key, annotated":               {keys.with("annotations", members{"env": "prod"}), "", `lacks the annotation "env"`},
		"key, unsigned":                {keys.with("image", i.reference("unsigned")), "", "no signatures found for image: " + i.reference("unsigned")},
		"key, tampered":                {keys.with("image", i.reference("tampered")), "", "no signatures found for image"},
		"key, absent":                  {keys.with("image", i.reference("absent")), "", "MANIFEST_UNKNOWN"},
		"keyless":                      {identity, byAlice, ""},
		"keyless, both":                {identity.with("keyless", []members{alice, {"issuer": issuer, "subject": "bob@test"}}), byAlice, ""},
		"keyless, one of both":         {identity.with("keyless", []members{alice, {"issuer": issuer, "subject": "eve@test"}}), "", failed},
		"keyless, annotated":           {identity.with("annotations", members{"env": "prod"}), byAlice, ""},
		"keyless, annotated otherwise": {identity.with("annotations", members{"env": "test"}), "", `lacks the annotation "env" with value "test"`},
		"keyless, another issuer":      {identity.with("keyless", []members{alice.with("issuer", "https://other.test")}), "", `of issuer "https://oidc.test", want "https://other.test"`},
		"keyless, another subject":     {identity.with("keyless", []members{alice.with("subject", "alice@tes")}), "", `of subject "alice@test", want "alice@tes"`},
		"keyless, expired":             {identity.with("image", i.reference("late")), "", failed},
		"keyless, not logged":          {identity.with("image", i.reference("unlogged")), "", failed},
		"keyless, by foreigners":       {identity.with("image", i.reference("foreign")), "", failed},
		"prefix":                       {prefix, byProject, ""},
		"prefix that ends in a name":   {prefix.with("keyless_prefix", []members{{"issuer": issuer, "url_prefix": "https://git.test/te"}}), "", `want one that begins with "https://git.test/te/"`},
		"prefix, another issuer":       {prefix.with("keyless_prefix", []members{{"issuer": github, "url_prefix": "https://git.test/team"}}), "", "of issuer"},
		"prefix, annotated otherwise":  {prefix.with("annotations", members{"env": "test"}), "", "lacks the annotation"},
		"action":                       {action, byWorkflow, ""},
		"action of any repository":     {action.with("repo", nil), byWorkflow, ""},
		"action of another owner":      {action.with("owner", "kube"), "", `of a workflow of repository "kubewarden/policy", want kube/policy`},
		"action of another repository": {action.with("repo", "other"), "", "want kubewarden/other"},
		"action, no workflow":          {action.with("image", i.reference("project")), "", "of issuer"},
		"action, annotated otherwise":  {action.with("annotations", members{"env": "test"}), "", "lacks the annotation"},
		"certificate":                  {own, byAlice, ""},
		"certificate, by a chain":      {own.with("certificate_chain", [][]int{numbers(pemOf(s, 0)), numbers(pemOf(s, 1))}), byAlice, ""},
		"certificate, foreign chain":   {own.with("certificate_chain", [][]int{numbers(pemOf(foreign, 0)), numbers(pemOf(foreign, 1))}), "", "verification failed: "},
		"certificate, chain, unlogged": {own.with("certificate_chain", [][]int{numbers(pemOf(foreign, 0))}).with("require_rekor_bundle", false), "", "verification failed: the certificate is not trusted"},
		"certificate of another":       {own.with("certificate", numbers(lateCertificate)), "", "verification failed: a signature is not of this key"},
		"certificate, expired":         {own.with("image", i.reference("late")).with("certificate", numbers(lateCertificate)), "", "integrated time outside certificate validity"},
		"certificate, not logged":      {own.with("image", i.reference("unlogged")).with("certificate", numbers(unloggedCertificate)), "", "not enough verified log entries"},
		"certificate, no log needed":   {own.with("image", i.reference("unlogged")).with("certificate", numbers(unloggedCertificate)).with("require_rekor_bundle", false), unlogged, ""},
		"certificate, annotated":       {own.with("annotations", members{"env": "prod"}), byAlice, ""},
		"certificate, otherwise":       {own.with("annotations", members{"env": "test"}), "", "lacks the annotation"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.check(t, c)
		})
	}

	none := i.trusting(t, nil)
	if _, err := ask(t, none, "v2/verify", keys.text(t)); err != nil {
		t.Errorf("got %v of a key without a trust root, which it does not need", err)
	}
	for _, payload := range []members{identity, own} {
		if _, err := ask(t, none, "v2/verify", payload.text(t)); err == nil || !strings.Contains(err.Error(), "There is none now: still on its way") {
			t.Errorf("%s: got %v without a trust root, want that", payload["type"], err)
		}
	}
}

// verification is a payload, and the digest that is trusted, or "" and what the error contains.
type verification struct {
	payload         members
	digest, failure string
}

// check asks by every version that has the type of the payload.
func (v verification) check(t *testing.T, c *Capability) {
	t.Helper()
	calls := map[string]string{"v2/verify": v.payload.text(t)}
	if kind := v.payload["type"].(string); kind == kindPublicKey || kind == kindKeyless {
		calls["v1/verify"] = members{kind: v.payload}.text(t)
	}
	for operation, content := range calls {
		got, err := ask(t, c, operation, content)
		if refusal := host.RefusalError(""); errors.As(err, &refusal) {
			t.Errorf("%s: got the refusal %v, want an answer or a failure", operation, err)
		}
		if v.digest != "" && (err != nil || got != fmt.Sprintf(`{"is_trusted":true,"digest":%q}`, v.digest)) {
			t.Errorf("%s: got %s, %v, want %s to be trusted", operation, got, err, v.digest)
		}
		if v.digest == "" && (err == nil || got != "" || !strings.Contains(err.Error(), v.failure)) {
			t.Errorf("%s: got %s, %v, want an error that contains %q", operation, got, err, v.failure)
		}
	}
}

// pemOf is a certificate of an authority's chain.
func pemOf(s *sigstore.Sigstore, at int) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Chain()[at].Raw}))
}

// What was verified is kept for the very same question only, and an error is never kept.
func TestVerifyIsKeptForTheSameDemand(t *testing.T) {
	i, key, stranger := newImages(t), newSigner(t), newSigner(t)
	first := digest(t, i.push(t, "v1", "jane"))
	c := i.trusting(t, nil)
	by := func(keys ...string) members {
		return members{"type": kindPublicKey, "image": i.reference("v1"), "pub_keys": keys}
	}
	verify := func(payload members) string {
		t.Helper()
		got, err := ask(t, c, "v2/verify", payload.text(t))
		if err != nil {
			return err.Error()
		}
		return got
	}
	if got := verify(by(key.PublicKey)); !strings.Contains(got, "no signatures found") {
		t.Errorf("got %s of what is not signed", got)
	}
	i.signBy(t, key, "v1")
	trusted := fmt.Sprintf(`{"is_trusted":true,"digest":%q}`, first)
	if got := verify(by(key.PublicKey)); got != trusted {
		t.Errorf("got %s once it is signed, want %s", got, trusted)
	}
	before := i.requests.Load()
	if got := verify(by(key.PublicKey)); got != trusted || i.requests.Load() != before {
		t.Errorf("got %s after %d requests, want what is kept", got, i.requests.Load()-before)
	}
	for name, payload := range map[string]members{
		"another key":        by(stranger.PublicKey),
		"one key more":       by(key.PublicKey, stranger.PublicKey),
		"an annotation more": by(key.PublicKey).with("annotations", members{"a": "b"}),
	} {
		if got := verify(payload); !strings.Contains(got, "Image verification failed") {
			t.Errorf("%s: got %s, want an error", name, got)
		}
	}
	i.push(t, "v1", "joe") // the tag moves, and nobody signs it
	c.Forget()
	if got := verify(by(key.PublicKey)); !strings.Contains(got, "no signatures found") {
		t.Errorf("got %s after everything was forgotten, want the tag resolved anew", got)
	}
}

func TestVerifyRefusesPayloads(t *testing.T) {
	c, key, s := New(Config{Now: time.Now}), newSigner(t), sigstore.New(t)
	keys := members{"type": kindPublicKey, "image": "a", "pub_keys": []string{key.PublicKey}}
	own := members{"type": kindCertificate, "image": "a", "certificate": numbers(pemOf(s, 0)), "require_rekor_bundle": false}
	prefix := func(issuer, prefix string) string {
		return members{"type": kindPrefix, "image": "a", "keyless_prefix": []members{{"issuer": issuer, "url_prefix": prefix}}}.text(t)
	}
	many := make([]string, maxSigners+1)
	for name, tc := range map[string]struct{ operation, payload, want string }{
		"no JSON":             {"v2/verify", "{", "decode payload: unexpected end of JSON input"},
		"a text":              {"v2/verify", `"a"`, "decode payload: json: cannot unmarshal string"},
		"null":                {"v2/verify", `null`, `type is ""; allowed are SigstorePubKeyVerify, `},
		"another type":        {"v2/verify", keys.with("type", "X").text(t), `type is "X"; allowed are`},
		"no image":            {"v2/verify", keys.with("image", "").text(t), `image is ""`},
		"an image that isn't": {"v2/verify", keys.with("image", "UPPER").text(t), `image is "UPPER"`},
		"a number":            {"v2/verify", keys.with("image", 1).text(t), "decode payload: json: cannot unmarshal number"},
		"no keys":             {"v2/verify", keys.with("pub_keys", nil).text(t), "Must provide at least one pub key: pub_keys is empty"},
		"many keys":           {"v2/verify", keys.with("pub_keys", many).text(t), "pub_keys has 33 items, at most 32 are allowed"},
		"no key":              {"v2/verify", keys.with("pub_keys", []string{key.PublicKey, "x"}).text(t), "pub_keys[1]: no PEM found"},
		"no identity":         {"v2/verify", `{"type":"SigstoreKeylessVerify","image":"a","keyless":[]}`, "Must provide keyless info: keyless is empty"},
		"half an identity":    {"v2/verify", `{"type":"SigstoreKeylessVerify","image":"a","keyless":[{"issuer":"b"}]}`, `keyless[0]: issuer is "b" and subject is "", want both`},
		"no prefixes":         {"v2/verify", `{"type":"SigstoreKeylessPrefixVerify","image":"a"}`, "Must provide keyless info: keyless_prefix is empty"},
		"no prefix":           {"v2/verify", prefix("b", ""), `keyless_prefix[0]: url_prefix: got "", want a URL`},
		"a prefix, no URL":    {"v2/verify", prefix("b", "c"), `keyless_prefix[0]: url_prefix: got "c", want a URL`},
		"a prefix, no issuer": {"v2/verify", prefix("", "https://a"), "keyless_prefix[0]: issuer is empty"},
		"no owner":            {"v2/verify", `{"type":"SigstoreGithubActionsVerify","image":"a","repo":"b"}`, "Must provide owner info: owner is empty"},
		"null annotated":      {"v2/verify", keys.with("annotations", members{"a": nil}).text(t), `annotation "a" is null, want a text`},
		"listed annotations":  {"v2/verify", keys.with("annotations", []members{{"key": "a", "value": "b"}}).text(t), "decode payload: json: cannot unmarshal array"},
		"no certificate":      {"v2/verify", own.with("certificate", []int{1}).text(t), "certificate: no PEM found"},
		"no byte":             {"v2/verify", own.with("certificate", []int{256}).text(t), "decode payload: json: cannot unmarshal number 256"},
		"no chain":            {"v2/verify", own.with("certificate_chain", [][]int{{1}}).text(t), "certificate_chain[0]: no PEM found"},
		"an empty chain":      {"v2/verify", own.with("certificate_chain", [][]int{}).text(t), "certificate_chain is empty, so nobody is trusted"},
		"a long chain":        {"v2/verify", own.with("certificate_chain", make([][]int, maxChain+1)).text(t), "certificate_chain has 17 certificates, at most 16 are allowed"},
		"logged or not":       {"v2/verify", own.with("require_rekor_bundle", nil).text(t), "require_rekor_bundle is missing; want true or false"},
		"v1, no JSON":         {"v1/verify", "{", "decode payload: unexpected end of JSON input"},
		"v1, empty":           {"v1/verify", "{}", "payload has 0 members, want one, which is SigstorePubKeyVerify or SigstoreKeylessVerify"},
		"v1, as v2":           {"v1/verify", keys.text(t), "payload has 3 members, want one"},
		"v1, both":            {"v1/verify", members{kindPublicKey: keys, kindKeyless: keys}.text(t), "payload has 2 members, want one"},
		"v1, a later type":    {"v1/verify", members{kindCertificate: own}.text(t), `payload has the member "SigstoreCertificateVerify"; allowed are`},
		"v1, null":            {"v1/verify", members{kindPublicKey: nil}.text(t), `SigstorePubKeyVerify is "null", want an object`},
		"v1, no keys":         {"v1/verify", members{kindPublicKey: members{"image": "a"}}.text(t), "Must provide at least one pub key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ask(t, c, tc.operation, tc.payload)
			if refusal := host.RefusalError(""); !errors.As(err, &refusal) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want a refusal that contains %q", err, tc.want)
			}
		})
	}
}
