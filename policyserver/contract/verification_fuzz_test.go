package contract

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Whatever verification.yml holds is refused with words, or demands at least one signature
// that can be looked for, and demands the same when it is written and read again.
func FuzzDecodeVerification(f *testing.F) {
	key := quoted(publicKeyPEM)
	for _, seed := range []string{
		"apiVersion: v1\nallOf: [{kind: pubKey, owner: alice, annotations: {env: prod}, key: " + key + "}]",
		"anyOf: {minimumMatches: 2, signatures: [{kind: githubAction, owner: o, repo: r}, {kind: genericIssuer, issuer: i, subject: {equal: e}}]}",
		"anyOf: {signatures: [{kind: genericIssuer, issuer: i, subject: {urlPrefix: 'https://host.test/o'}}]}",
		`{"apiVersion":"v1","anyOf":null,"allOf":[{"kind":"pubKey","key":` + key + `,"annotations":null}]}`,
		"allOf: ~\nanyOf: {minimumMatches: 0, signatures: ~}", "allOf: []\nanyOf: {minimumMatches: 256, signatures: []}", "apiVersion: v2\n", "allof: []",
		"allOf: [{kind: genericIssuer, issuer: i, subject: {urlPrefix: 'https://h/%zz', equal: ''}}]", "allOf: [{kind: on, key: !!binary aGk=}]",
		"allOf: &a [*a]", "allOf: []\nallOf: []", "? [a]\n: b\n", "- a\n", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		verification, err := DecodeVerification(data)
		if err != nil {
			if err.Error() == "" {
				t.Error("refused without words")
			}
			return
		}
		if text := emptyDemand(verification); text != "" {
			t.Fatalf("%s in %+v", text, verification)
		}
		written := encodeVerification(t, verification)
		again, err := DecodeVerification(written)
		if err != nil {
			t.Fatalf("decode %s again: %v", written, err)
		}
		if diff := cmp.Diff(verification, again, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("-want +got after %s:\n%s", written, diff)
		}
	})
}

// emptyDemand says in what a verification asks for less than it seems to; "" if in nothing.
func emptyDemand(verification Verification) string {
	demanded, signatures := len(verification.AllOf), verification.AllOf
	if anyOf := verification.AnyOf; anyOf != nil {
		if anyOf.MinimumMatches < 0 || anyOf.MinimumMatches > len(anyOf.Signatures) {
			return "a number of signatures that there cannot be"
		}
		demanded += anyOf.MinimumMatches
		signatures = append(slices.Clip(signatures), anyOf.Signatures...)
	}
	if demanded == 0 {
		return "no signature is demanded"
	}
	for _, signature := range signatures {
		_, err := ParsePublicKey(signature.Key)
		prefix := signature.Subject.URLPrefix
		switch {
		case signature.Kind == SignaturePubKey && err != nil:
			return "a key that is none"
		case signature.Kind == SignatureGithubAction && signature.Owner == "":
			return "no owner"
		case signature.Kind != SignatureGenericIssuer:
		case signature.Issuer == "":
			return "no issuer"
		case (signature.Subject.Equal == "") == (prefix == ""):
			return "no subject, or two"
		case prefix != "" && !strings.HasSuffix(prefix, "/"):
			return "a prefix that ends within a name"
		}
	}
	return ""
}

// encodeVerification writes what DecodeVerification reads.
func encodeVerification(t *testing.T, verification Verification) []byte {
	t.Helper()
	file := map[string]any{"apiVersion": verificationVersion, "allOf": []any{}}
	wire := func(signatures []Signature) []any {
		items := make([]any, 0, len(signatures))
		for _, signature := range signatures {
			item := map[string]any{"kind": signature.Kind}
			put := func(name, value string) {
				if value != "" {
					item[name] = value
				}
			}
			put("key", signature.Key)
			put("owner", signature.Owner)
			put("repo", signature.Repo)
			put("issuer", signature.Issuer)
			if signature.Kind == SignatureGenericIssuer {
				item["subject"] = map[string]string{"equal": signature.Subject.Equal}
				if signature.Subject.URLPrefix != "" {
					item["subject"] = map[string]string{"urlPrefix": signature.Subject.URLPrefix}
				}
			}
			if len(signature.Annotations) > 0 {
				item["annotations"] = signature.Annotations
			}
			items = append(items, item)
		}
		return items
	}
	file["allOf"] = wire(verification.AllOf)
	if anyOf := verification.AnyOf; anyOf != nil {
		file["anyOf"] = map[string]any{"minimumMatches": anyOf.MinimumMatches, "signatures": wire(anyOf.Signatures)}
	}
	written, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return written
}
