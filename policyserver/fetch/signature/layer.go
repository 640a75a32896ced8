package signature

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

// Names of cosign's format: https://github.com/sigstore/cosign, specs/SIGNATURE_SPEC.md.
const (
	// MediaType is that of the layers which are signatures.
	MediaType = "application/vnd.dev.cosign.simplesigning.v1+json"
	// AnnotationSignature of a layer is the signature of its bytes, in base64.
	AnnotationSignature = "dev.cosignproject.cosign/signature"
	// AnnotationCertificate of a layer is the certificate of the signer, in PEM.
	AnnotationCertificate = "dev.sigstore.cosign/certificate"
	// AnnotationBundle of a layer is what the transparency log answered, in JSON.
	AnnotationBundle = "dev.sigstore.cosign/bundle"
	// AnnotationTimestamp of a layer is what a timestamp authority answered, in JSON.
	AnnotationTimestamp = "dev.sigstore.cosign/rfc3161timestamp"

	payloadType = "cosign container image signature"
	// layerBundle is the version of the bundle format whose demands cosign's layers meet:
	// a log's promise is enough, where later versions want a proof of inclusion.
	layerBundle = "application/vnd.dev.sigstore.bundle+json;version=0.1"
)

// Layer is one layer of a signature artefact.
type Layer struct {
	// Payload is the layer's bytes as they are: they are what is signed.
	Payload []byte
	// Annotations are those of the layer in the manifest.
	Annotations map[string]string
}

var _ Proof = Layer{}

var errOtherKey = errors.New("a signature is not of this key")

// signedBy is an error unless the key signed the payload.
func (l Layer) signedBy(key crypto.PublicKey) error {
	signature, err := l.signature()
	if err != nil {
		return err
	}
	return signed(key, l.Payload, signature)
}

func (l Layer) signature() ([]byte, error) {
	signature, err := base64.StdEncoding.DecodeString(l.Annotations[AnnotationSignature])
	if err != nil || len(signature) == 0 {
		return nil, fmt.Errorf("a layer has no base64 in its annotation %s", AnnotationSignature)
	}
	return signature, nil
}

// signed is an error unless the signature of the message is the key's. Hash and padding
// are those that cosign signs with, whatever the size of the key.
func signed(key crypto.PublicKey, message, signature []byte) error {
	sum := sha256.Sum256(message)
	valid := false
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		valid = ecdsa.VerifyASN1(key, sum[:], signature)
	case *rsa.PublicKey:
		valid = rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil
	case ed25519.PublicKey:
		valid = ed25519.Verify(key, message, signature)
	}
	if !valid {
		return errOtherKey
	}
	return nil
}

// identify gives the identity that signed the payload.
func (l Layer) identify(trust *Trust, _ string) (identity, error) {
	block, _ := pem.Decode([]byte(l.Annotations[AnnotationCertificate]))
	if block == nil || block.Type != "CERTIFICATE" {
		return identity{}, fmt.Errorf("a layer has no certificate in its annotation %s", AnnotationCertificate)
	}
	entity, err := l.entity(block.Bytes)
	if err != nil {
		return identity{}, err
	}
	return trust.identify(entity, verify.WithArtifact(bytes.NewReader(l.Payload)))
}

// witnessed is an error unless the verifier finds the payload signed by the signer, whatever
// certificate the layer brings along.
func (l Layer) witnessed(verifier *verify.Verifier, signer *x509.Certificate, _ string) error {
	entity, err := l.entity(signer.Raw)
	if err != nil {
		return err
	}
	_, err = verifier.Verify(entity, verify.NewPolicy(verify.WithArtifact(bytes.NewReader(l.Payload)), verify.WithoutIdentitiesUnsafe()))
	return err
}

// entity writes the layer, signed by whoever has the certificate (DER), as a bundle, which is
// what the library of Sigstore verifies. The annotation with the chain of the certificate is left out: whoever issues certificates
// stands in the trust root.
func (l Layer) entity(certificate []byte) (*bundle.Bundle, error) {
	signature, err := l.signature()
	if err != nil {
		return nil, err
	}
	entries, err := l.logEntries()
	if err != nil {
		return nil, fmt.Errorf("annotation %s of a layer: %w", AnnotationBundle, err)
	}
	timestamps, err := l.timestamps()
	if err != nil {
		return nil, fmt.Errorf("annotation %s of a layer: %w", AnnotationTimestamp, err)
	}
	digest := sha256.Sum256(l.Payload)
	return bundle.NewBundle(&protobundle.Bundle{
		MediaType: layerBundle,
		VerificationMaterial: &protobundle.VerificationMaterial{
			Content: &protobundle.VerificationMaterial_Certificate{
				Certificate: &protocommon.X509Certificate{RawBytes: certificate},
			},
			TlogEntries:               entries,
			TimestampVerificationData: timestamps,
		},
		Content: &protobundle.Bundle_MessageSignature{MessageSignature: &protocommon.MessageSignature{
			MessageDigest: &protocommon.HashOutput{Algorithm: protocommon.HashAlgorithm_SHA2_256, Digest: digest[:]},
			Signature:     signature,
		}},
	})
}

// logEntries gives the entry of the transparency log that the layer has, or none.
func (l Layer) logEntries() ([]*protorekor.TransparencyLogEntry, error) {
	text, found := l.Annotations[AnnotationBundle]
	if !found {
		return nil, nil
	}
	var answer struct {
		SignedEntryTimestamp []byte
		Payload              struct {
			Body           []byte `json:"body"`
			IntegratedTime int64  `json:"integratedTime"`
			LogIndex       int64  `json:"logIndex"`
			LogID          string `json:"logID"`
		}
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return nil, err
	}
	log, err := hex.DecodeString(answer.Payload.LogID)
	if err != nil {
		return nil, fmt.Errorf("field %q: %w", "logID", err)
	}
	var body struct{ Kind, APIVersion string }
	if err := json.Unmarshal(answer.Payload.Body, &body); err != nil {
		return nil, fmt.Errorf("field %q: %w", "body", err)
	}
	return []*protorekor.TransparencyLogEntry{{
		LogIndex:          answer.Payload.LogIndex,
		LogId:             &protocommon.LogId{KeyId: log},
		KindVersion:       &protorekor.KindVersion{Kind: body.Kind, Version: body.APIVersion},
		IntegratedTime:    answer.Payload.IntegratedTime,
		InclusionPromise:  &protorekor.InclusionPromise{SignedEntryTimestamp: answer.SignedEntryTimestamp},
		CanonicalizedBody: answer.Payload.Body,
	}}, nil
}

// timestamps gives the timestamp of an authority that the layer has, or none.
func (l Layer) timestamps() (*protobundle.TimestampVerificationData, error) {
	text, found := l.Annotations[AnnotationTimestamp]
	if !found {
		return nil, nil
	}
	var answer struct{ SignedRFC3161Timestamp []byte }
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return nil, err
	}
	return &protobundle.TimestampVerificationData{
		Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: answer.SignedRFC3161Timestamp}},
	}, nil
}

// payload is what a signer states (containers/image, docs/containers-signature.5.md).
type payload struct {
	Critical struct {
		Type  string `json:"type"`
		Image struct {
			Digest string `json:"docker-manifest-digest"`
		} `json:"image"`
	} `json:"critical"`
	Optional map[string]any `json:"optional"`
}

// states is an error unless the payload is about the artefact of the digest and has the
// annotations. It is to be asked only of a payload that is signed.
func (l Layer) states(digest string, annotations map[string]string) error {
	var stated payload
	if err := json.Unmarshal(l.Payload, &stated); err != nil {
		return fmt.Errorf("a signed payload is not JSON of the right form: %w", err)
	}
	if stated.Critical.Type != payloadType {
		return fmt.Errorf("a signed payload is of type %q, want %q", stated.Critical.Type, payloadType)
	}
	if digest == "" || stated.Critical.Image.Digest != digest {
		return fmt.Errorf("a signature is of the artefact %q, want %q", stated.Critical.Image.Digest, digest)
	}
	return hasAnnotations(stated.Optional, annotations)
}

// hasAnnotations is an error unless all annotations are among what is stated.
func hasAnnotations(stated map[string]any, annotations map[string]string) error {
	for key, want := range annotations {
		if got, isText := stated[key].(string); !isText || got != want {
			return fmt.Errorf("a signature lacks the annotation %q with value %q", key, want)
		}
	}
	return nil
}
