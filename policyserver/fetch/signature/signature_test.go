package signature

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

const (
	digest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	other  = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// signer is somebody with a key.
type signer struct {
	t   *testing.T
	key crypto.Signer
}

func newECDSA(t *testing.T) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{t, key}
}

// wanted is the requirement that this signer has signed.
func (s signer) wanted() contract.Signature {
	s.t.Helper()
	der, err := x509.MarshalPKIXPublicKey(s.key.Public())
	if err != nil {
		s.t.Fatal(err)
	}
	return contract.Signature{Kind: contract.SignaturePubKey, Key: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}
}

func (s signer) sign(payload []byte) Layer {
	s.t.Helper()
	return Layer{payload, map[string]string{AnnotationSignature: base64.StdEncoding.EncodeToString(s.signature(payload))}}
}

func (s signer) signature(message []byte) []byte {
	s.t.Helper()
	hash, input := crypto.SHA256, message
	if _, is := s.key.(ed25519.PrivateKey); is {
		hash = 0
	} else {
		sum := sha256.Sum256(message)
		input = sum[:]
	}
	signature, err := s.key.Sign(rand.Reader, input, hash)
	if err != nil {
		s.t.Fatal(err)
	}
	return signature
}

func stated(t *testing.T, kind, digest string, optional map[string]any) []byte {
	t.Helper()
	raw, err := json.Marshal(map[string]any{
		"critical": map[string]any{
			"type": kind, "identity": map[string]any{"docker-reference": "registry.test/policy"},
			"image": map[string]any{"docker-manifest-digest": digest},
		},
		"optional": optional,
	})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func all(wanted ...contract.Signature) contract.Verification {
	return contract.Verification{AllOf: wanted}
}

func some(minimum int, wanted ...contract.Signature) contract.Verification {
	return contract.Verification{AnyOf: &contract.AnyOf{MinimumMatches: minimum, Signatures: wanted}}
}

func annotated(wanted contract.Signature, key, value string) contract.Signature {
	wanted.Annotations = map[string]string{key: value}
	return wanted
}

func TestTag(t *testing.T) {
	if got, want := Tag(digest), "sha256-"+strings.Repeat("a", 64)+".sig"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestCheckKindsOfKeys(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	stranger := newECDSA(t)
	for name, s := range map[string]signer{"ECDSA": newECDSA(t), "RSA": {t, rsaKey}, "Ed25519": {t, edKey}} {
		t.Run(name, func(t *testing.T) {
			good := s.sign(stated(t, payloadType, digest, nil))
			if err := Check(all(s.wanted()), nil, digest, []Proof{good}); err != nil {
				t.Error(err)
			}
			tampered := Layer{append([]byte(" "), good.Payload...), good.Annotations}
			strange := stranger.sign(good.Payload)
			for name, layer := range map[string]Layer{"tampered": tampered, "of a stranger": strange} {
				if err := Check(all(s.wanted()), nil, digest, []Proof{layer}); err == nil || !strings.Contains(err.Error(), errOtherKey.Error()) {
					t.Errorf("%s: got %v, want %q", name, err, errOtherKey)
				}
			}
		})
	}
}

func TestCheck(t *testing.T) {
	alice, bob := newECDSA(t), newECDSA(t)
	optional := map[string]any{"env": "prod", "number": 1}
	byAlice := alice.sign(stated(t, payloadType, digest, optional))
	byBob := bob.sign(stated(t, payloadType, digest, nil))
	unsigned := Layer{Payload: byAlice.Payload}
	keyless := contract.Signature{Kind: contract.SignatureGithubAction, Owner: "o"}
	allAndAny := contract.Verification{AllOf: all(alice.wanted()).AllOf, AnyOf: some(1, bob.wanted()).AnyOf}
	for name, tc := range map[string]struct {
		wanted contract.Verification
		layers []Proof
		want   string // part of the error; empty for none
	}{
		"both of two":           {all(alice.wanted(), bob.wanted()), []Proof{byAlice, byBob}, ""},
		"one after bad layers":  {all(alice.wanted()), []Proof{unsigned, byBob, byAlice}, ""},
		"one of two":            {all(alice.wanted(), bob.wanted()), []Proof{byAlice}, "Image verification failed: missing signatures\nThe following constraints were not satisfied:\n- kind pubKey"},
		"no layers":             {all(alice.wanted()), nil, "the artefact has no signatures"},
		"no signature":          {all(alice.wanted()), []Proof{unsigned}, "has no base64 in its annotation"},
		"another artefact":      {all(alice.wanted()), []Proof{alice.sign(stated(t, payloadType, other, nil))}, `a signature is of the artefact "` + other},
		"no artefact":           {all(alice.wanted()), []Proof{alice.sign([]byte("{}"))}, `a signed payload is of type ""`},
		"another type":          {all(alice.wanted()), []Proof{alice.sign(stated(t, "atomic container signature", digest, nil))}, `of type "atomic container signature"`},
		"no JSON":               {all(alice.wanted()), []Proof{alice.sign([]byte("text"))}, "is not JSON of the right form"},
		"an annotation":         {all(annotated(alice.wanted(), "env", "prod")), []Proof{byAlice}, ""},
		"another value":         {all(annotated(alice.wanted(), "env", "test")), []Proof{byAlice}, `lacks the annotation "env" with value "test"`},
		"a value of a kind":     {all(annotated(alice.wanted(), "number", "1")), []Proof{byAlice}, `lacks the annotation "number"`},
		"no such annotation":    {all(annotated(alice.wanted(), "absent", "")), []Proof{byAlice}, `lacks the annotation "absent"`},
		"any of two":            {some(1, alice.wanted(), bob.wanted()), []Proof{byBob}, ""},
		"two of two":            {some(2, alice.wanted(), bob.wanted()), []Proof{byAlice, byBob}, ""},
		"two of two, one signs": {some(2, alice.wanted(), bob.wanted()), []Proof{byBob, byBob}, "minimum number of signatures not reached: needed 2, got 1"},
		"all and any":           {allAndAny, []Proof{byAlice}, "needed 1, got 0"},
		"an identity":           {all(keyless), []Proof{byAlice}, "without a trust root of Sigstore"},
		"a key or identity":     {some(1, keyless, alice.wanted()), []Proof{byAlice}, ""},
		"nothing demanded":      {contract.Verification{}, []Proof{byAlice}, "no signature is demanded"},
		"none of any":           {some(0, alice.wanted()), []Proof{byAlice}, "no signature is demanded"},
		"a kind of no kind":     {all(contract.Signature{}), []Proof{byAlice}, "Image verification failed"},
		"a key that is none":    {all(contract.Signature{Kind: contract.SignaturePubKey}), []Proof{byAlice}, "no PEM found"},
		"many bad layers":       {all(alice.wanted()), []Proof{byBob, byBob, byBob, byBob, byBob, byBob}, "and 2 more"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Check(tc.wanted, nil, digest, tc.layers)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("got %v, want no error", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want an error that contains %q", err, tc.want)
			}
		})
	}
}

// A manifest whose digest is not known is nobody's, even for a payload that names none.
func TestCheckNeedsADigest(t *testing.T) {
	alice := newECDSA(t)
	if err := Check(all(alice.wanted()), nil, "", []Proof{alice.sign(stated(t, payloadType, "", nil))}); err == nil {
		t.Error("got no error, want one")
	}
}
