package signature

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

const (
	// MediaTypeBundle is that of a bundle, and of the artefact that holds it.
	MediaTypeBundle = "application/vnd.dev.sigstore.bundle.v0.3+json"
	// AnnotationPredicate of an artefact says what its bundle states.
	AnnotationPredicate = "dev.sigstore.bundle.predicateType"
	// PredicateSign is what a bundle states that is a signature. Others, such as a list of
	// what is in an artefact, are no consent to running it.
	PredicateSign = "https://sigstore.dev/cosign/sign/v1"

	// statementType is how a statement is marked within its envelope (in-toto).
	statementType = "application/vnd.in-toto+json"
	algorithm     = "sha256"
)

// Bundle is a signature in the newer format of Sigstore, which is an artefact that refers
// to the one that is signed.
type Bundle struct {
	parsed *bundle.Bundle
	flaw   error // why it is none
}

var _ Proof = Bundle{}

// NewBundle reads a bundle in JSON. What is none becomes one that proves nothing and says
// why, so that it does not hide others.
func NewBundle(data []byte) Bundle {
	var parsed bundle.Bundle
	if err := parsed.UnmarshalJSON(data); err != nil {
		return NoBundle(err)
	}
	return Bundle{parsed: &parsed}
}

// NoBundle stands for one that cannot be read, and says why.
func NoBundle(why error) Bundle {
	return Bundle{flaw: fmt.Errorf("a bundle cannot be read: %w", why)}
}

// signedBy is an error unless the key signed what the bundle states.
func (b Bundle) signedBy(key crypto.PublicKey) error {
	if b.flaw != nil {
		return b.flaw
	}
	envelope, message := b.parsed.GetDsseEnvelope(), b.parsed.GetMessageSignature()
	switch {
	case envelope != nil:
		if len(envelope.Signatures) != 1 {
			return fmt.Errorf("a bundle has %d signatures, want 1", len(envelope.Signatures))
		}
		return signed(key, signedBytes(envelope), envelope.Signatures[0].GetSig())
	case message != nil:
		return signedDigest(key, message)
	default:
		return errors.New("a bundle is not signed")
	}
}

// signedBytes is what is signed of an envelope: its pre-authentication encoding
// (https://github.com/secure-systems-lab/dsse, protocol.md).
func signedBytes(envelope *protodsse.Envelope) []byte {
	var text bytes.Buffer
	fmt.Fprintf(&text, "DSSEv1 %d %s %d ", len(envelope.PayloadType), envelope.PayloadType, len(envelope.Payload))
	text.Write(envelope.Payload)
	return text.Bytes()
}

// signedDigest is an error unless the key signed the message of the digest.
func signedDigest(key crypto.PublicKey, message *protocommon.MessageSignature) error {
	digest, err := digestOf(message)
	if err != nil {
		return err
	}
	valid := false
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		valid = ecdsa.VerifyASN1(key, digest, message.Signature)
	case *rsa.PublicKey:
		valid = rsa.VerifyPKCS1v15(key, crypto.SHA256, digest, message.Signature) == nil
	default:
		return fmt.Errorf("a bundle signs a digest, which a key of type %T cannot be checked by", key)
	}
	if !valid {
		return errOtherKey
	}
	return nil
}

func digestOf(message *protocommon.MessageSignature) ([]byte, error) {
	digest := message.GetMessageDigest()
	if digest.GetAlgorithm() != protocommon.HashAlgorithm_SHA2_256 {
		return nil, fmt.Errorf("a bundle signs a digest by %s, want %s", digest.GetAlgorithm(), protocommon.HashAlgorithm_SHA2_256)
	}
	return digest.GetDigest(), nil
}

// identify gives the identity that signed what the bundle states.
func (b Bundle) identify(trust *Trust, digest string) (identity, error) {
	artifact, err := b.artifact(digest)
	if err != nil {
		return identity{}, err
	}
	return trust.identify(b.parsed, artifact)
}

// witnessed is an error unless the verifier finds what the bundle states signed by the
// signer; it vouches for nobody else.
func (b Bundle) witnessed(verifier *verify.Verifier, _ *x509.Certificate, digest string) error {
	artifact, err := b.artifact(digest)
	if err != nil {
		return err
	}
	_, err = verifier.Verify(b.parsed, verify.NewPolicy(artifact, verify.WithoutIdentitiesUnsafe()))
	return err
}

// artifact is what the bundle is to be about.
func (b Bundle) artifact(digest string) (verify.ArtifactPolicyOption, error) {
	if b.flaw != nil {
		return nil, b.flaw
	}
	raw, err := hex.DecodeString(strings.TrimPrefix(digest, algorithm+":"))
	if err != nil {
		return nil, fmt.Errorf("read digest of the artefact: %w", err)
	}
	return verify.WithArtifactDigest(algorithm, raw), nil
}

// states is an error unless the bundle is a signature of the artefact of the digest, with
// the annotations. It is to be asked only of a bundle that is signed.
func (b Bundle) states(digest string, annotations map[string]string) error {
	if b.flaw != nil {
		return b.flaw
	}
	if envelope := b.parsed.GetDsseEnvelope(); envelope != nil {
		return statedBy(envelope, digest, annotations)
	}
	stated, err := digestOf(b.parsed.GetMessageSignature())
	if err != nil {
		return err
	}
	if err := sameArtefact(hex.EncodeToString(stated), digest); err != nil {
		return err
	}
	return hasAnnotations(nil, annotations)
}

// statement is what a signer states in an envelope (https://in-toto.io/Statement/v1).
type statement struct {
	PredicateType string `json:"predicateType"`
	Subject       []struct {
		Digest      map[string]string `json:"digest"`
		Annotations map[string]any    `json:"annotations"`
	} `json:"subject"`
}

func statedBy(envelope *protodsse.Envelope, digest string, annotations map[string]string) error {
	if envelope.PayloadType != statementType {
		return fmt.Errorf("a bundle holds %q, want %q", envelope.PayloadType, statementType)
	}
	var stated statement
	if err := json.Unmarshal(envelope.Payload, &stated); err != nil {
		return fmt.Errorf("a signed statement is not JSON of the right form: %w", err)
	}
	if stated.PredicateType != PredicateSign {
		return fmt.Errorf("a signed statement is of type %q, want %q", stated.PredicateType, PredicateSign)
	}
	// cosign states one. Of several, it would not be clear whose annotations count.
	if len(stated.Subject) != 1 {
		return fmt.Errorf("a signed statement is about %d artefacts, want 1", len(stated.Subject))
	}
	if err := sameArtefact(stated.Subject[0].Digest[algorithm], digest); err != nil {
		return err
	}
	return hasAnnotations(stated.Subject[0].Annotations, annotations)
}

func sameArtefact(stated, digest string) error {
	if stated == "" || algorithm+":"+stated != digest {
		return fmt.Errorf("a signature is of the artefact %q, want %q", algorithm+":"+stated, digest)
	}
	return nil
}
