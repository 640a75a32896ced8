package contract

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// An Ed25519 key; whose it is does not matter here.
const publicKeyPEM = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n"

func quoted(text string) string {
	raw, _ := json.Marshal(text)
	return string(raw)
}

func TestDecodeVerification(t *testing.T) {
	key := quoted(publicKeyPEM)
	pubKey := Signature{Kind: SignaturePubKey, Key: publicKeyPEM}
	for name, tc := range map[string]struct {
		text string
		want Verification
	}{
		"one key":           {"apiVersion: v1\nallOf: [{kind: pubKey, key: " + key + "}]", Verification{AllOf: []Signature{pubKey}}},
		"JSON":              {`{"apiVersion":"v1","anyOf":null,"allOf":[{"kind":"pubKey","key":` + key + `}]}`, Verification{AllOf: []Signature{pubKey}}},
		"without a version": {"allOf: [{kind: pubKey, key: " + key + "}]", Verification{AllOf: []Signature{pubKey}}},
		"owner and annotations": {
			"allOf: [{kind: pubKey, owner: alice, annotations: {env: prod}, key: " + key + "}]",
			Verification{AllOf: []Signature{{Kind: SignaturePubKey, Key: publicKeyPEM, Owner: "alice", Annotations: map[string]string{"env": "prod"}}}},
		},
		"any of two": {
			"anyOf: {minimumMatches: 2, signatures: [{kind: githubAction, owner: o, repo: r}, {kind: genericIssuer, issuer: i, subject: {equal: e}}]}",
			Verification{AnyOf: &AnyOf{2, []Signature{
				{Kind: SignatureGithubAction, Owner: "o", Repo: "r"},
				{Kind: SignatureGenericIssuer, Issuer: "i", Subject: Subject{Equal: "e"}},
			}}},
		},
		"one of any by default, and a prefix that ends with a name": {
			"anyOf: {signatures: [{kind: genericIssuer, issuer: i, subject: {urlPrefix: 'https://host.test/o'}}]}",
			Verification{AnyOf: &AnyOf{1, []Signature{
				{Kind: SignatureGenericIssuer, Issuer: "i", Subject: Subject{URLPrefix: "https://host.test/o/"}},
			}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := DecodeVerification([]byte(tc.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestDecodeVerificationRefuses(t *testing.T) {
	issuer := "allOf: [{kind: genericIssuer, issuer: i, subject: "
	for name, tc := range map[string]struct{ text, want string }{
		"a list":               {"[]", "want a mapping"},
		"another version":      {"apiVersion: v2", `Not a supported configuration version: "v2"; allowed is "v1"`},
		"neither list":         {"apiVersion: v1", "config is missing signatures in both allOf and anyOff list"},
		"neither, no version":  {"{}", "config is missing signatures in both allOf and anyOff list"},
		"nothing demanded":     {"allOf: []", "it demands no signature"},
		"none of any":          {"anyOf: {minimumMatches: 0, signatures: [{kind: githubAction, owner: o}]}", "it demands no signature"},
		"an unknown field":     {"allof: []", `unknown field "allof"; allowed are allOf, anyOf, apiVersion`},
		"a key twice":          {"allOf: []\nallOf: []", "stands twice"},
		"more than there are":  {"anyOf: {minimumMatches: 2, signatures: [{kind: githubAction, owner: o}]}", `"minimumMatches": got 2, want at most the number of signatures, which is 1`},
		"a negative minimum":   {"anyOf: {minimumMatches: -1, signatures: []}", `field "minimumMatches": got -1, want a whole number`},
		"any of nothing":       {"anyOf: {}", `field "signatures" is missing`},
		"no kind":              {"allOf: [{}]", `field "allOf": item 0: field "kind" is missing`},
		"an unknown kind":      {"allOf: [{kind: x509}]", `field "kind": got "x509", want pubKey, genericIssuer or githubAction`},
		"a field of another":   {"allOf: [{kind: githubAction, owner: o, key: k}]", `unknown field "key"`},
		"no key":               {"allOf: [{kind: pubKey}]", `field "key" is missing`},
		"a key that is none":   {"allOf: [{kind: pubKey, key: k}]", `field "key": no PEM found`},
		"a PEM that is no key": {"allOf: [{kind: pubKey, key: " + quoted("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n") + "}]", `field "key": PEM block PUBLIC KEY`},
		"no owner":             {"allOf: [{kind: githubAction}]", `field "owner" is missing`},
		"no subject":           {"allOf: [{kind: genericIssuer, issuer: i}]", `field "subject" is missing`},
		"an empty subject":     {issuer + "{}}]", "want exactly one of equal and urlPrefix"},
		"two subjects":         {issuer + "{equal: a, urlPrefix: 'https://a/'}}]", "it has 2 fields"},
		"a prefix of anything": {issuer + "{urlPrefix: a}}]", `field "urlPrefix": got "a", want a URL`},
		"a numeric annotation": {"allOf: [{kind: githubAction, owner: o, annotations: {a: 1}}]", "want a map from strings to strings"},
		"a null annotation":    {"allOf: [{kind: githubAction, owner: o, annotations: {a: null}}]", `annotation "a" is null`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := DecodeVerification([]byte(tc.text))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error that contains %q", err, tc.want)
			}
		})
	}
}
