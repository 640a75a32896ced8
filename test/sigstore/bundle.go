package sigstore

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"testing"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const (
	bundleType    = "application/vnd.dev.sigstore.bundle.v0.3+json"
	statementType = "application/vnd.in-toto+json"
)

// Statement gives what cosign states of the artefact of a digest ("sha256:" and hex digits).
func Statement(t testing.TB, predicate, digest string, annotations map[string]string) []byte {
	t.Helper()
	return []byte(text(t, map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "predicateType": predicate, "predicate": map[string]any{},
		"subject": []any{map[string]any{
			"digest": map[string]string{"sha256": digest[len("sha256:"):]}, "annotations": annotations,
		}},
	}))
}

// StatementBundle signs a statement, and gives the bundle in JSON.
func (s *Sigstore) StatementBundle(t testing.TB, by Signer, statement []byte) []byte {
	t.Helper()
	signer := s.certify(t, by)
	envelope := sealed(statement)
	signature := sign(t, signer.key, signedBytes(envelope))
	envelope.Signatures = []*protodsse.Signature{{Sig: signature}}
	entry := text(t, map[string]any{
		"apiVersion": "0.0.1", "kind": "dsse",
		"spec": map[string]any{
			"envelopeHash": digest(bundleJSON(t, envelope)), "payloadHash": digest(statement),
			"signatures": []any{map[string]any{"signature": signature, "verifier": signer.pem()}},
		},
	})
	material := s.material(t, signer, signature, logEntry{"dsse", []byte(entry)})
	return bundleJSON(t, &protobundle.Bundle{
		MediaType: bundleType, VerificationMaterial: material, Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: envelope},
	})
}

// MessageBundle signs a message, and gives the bundle in JSON. It names the message by its
// digest.
func (s *Sigstore) MessageBundle(t testing.TB, by Signer, message []byte) []byte {
	t.Helper()
	signer := s.certify(t, by)
	signature := sign(t, signer.key, message)
	entry := logEntry{"hashedrekord", messageEntry(t, signer, message, signature)}
	return bundleJSON(t, &protobundle.Bundle{
		MediaType: bundleType, VerificationMaterial: s.material(t, signer, signature, entry), Content: messageContent(message, signature),
	})
}

// KeyStatementBundle signs a statement with a key that nobody vouches for, and gives the
// bundle in JSON.
func KeyStatementBundle(t testing.TB, key Key, statement []byte) []byte {
	t.Helper()
	envelope := sealed(statement)
	envelope.Signatures = []*protodsse.Signature{{Sig: key(signedBytes(envelope))}}
	return bundleJSON(t, &protobundle.Bundle{
		MediaType: bundleType, VerificationMaterial: keyMaterial(), Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: envelope},
	})
}

// KeyMessageBundle signs a message with a key that nobody vouches for, and gives the bundle
// in JSON.
func KeyMessageBundle(t testing.TB, key Key, message []byte) []byte {
	t.Helper()
	return bundleJSON(t, &protobundle.Bundle{
		MediaType: bundleType, VerificationMaterial: keyMaterial(), Content: messageContent(message, key(message)),
	})
}

// Key signs a message.
type Key func(message []byte) []byte

func keyMaterial() *protobundle.VerificationMaterial {
	return &protobundle.VerificationMaterial{Content: &protobundle.VerificationMaterial_PublicKey{
		PublicKey: &protocommon.PublicKeyIdentifier{Hint: "key"},
	}}
}

func messageContent(message, signature []byte) *protobundle.Bundle_MessageSignature {
	digest := sha256.Sum256(message)
	return &protobundle.Bundle_MessageSignature{MessageSignature: &protocommon.MessageSignature{
		MessageDigest: &protocommon.HashOutput{Algorithm: protocommon.HashAlgorithm_SHA2_256, Digest: digest[:]},
		Signature:     signature,
	}}
}

func sealed(statement []byte) *protodsse.Envelope {
	return &protodsse.Envelope{Payload: statement, PayloadType: statementType}
}

// signedBytes is what is signed of an envelope.
func signedBytes(envelope *protodsse.Envelope) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(envelope.PayloadType), envelope.PayloadType, len(envelope.Payload), envelope.Payload)
}

// logEntry is an entry of the transparency log.
type logEntry struct {
	kind string
	body []byte
}

func (s *Sigstore) material(t testing.TB, signer certified, signature []byte, entry logEntry) *protobundle.VerificationMaterial {
	t.Helper()
	material := &protobundle.VerificationMaterial{Content: &protobundle.VerificationMaterial_Certificate{
		Certificate: &protocommon.X509Certificate{RawBytes: signer.certificate.Raw},
	}}
	if signer.Without&TransparencyLog == 0 {
		material.TlogEntries = []*protorekor.TransparencyLogEntry{{
			LogIndex: entryIndex, LogId: &protocommon.LogId{KeyId: logID(t, s.rekor)},
			KindVersion:       &protorekor.KindVersion{Kind: entry.kind, Version: "0.0.1"},
			IntegratedTime:    signer.signedAt().Unix(),
			InclusionPromise:  &protorekor.InclusionPromise{SignedEntryTimestamp: sign(t, s.rekor, []byte(text(t, s.logPayload(t, signer, entry.body))))},
			InclusionProof:    s.inclusion(t, entry.body),
			CanonicalizedBody: entry.body,
		}}
	}
	if signer.Timestamped {
		material.TimestampVerificationData = &protobundle.TimestampVerificationData{Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{
			{SignedTimestamp: s.timestamps.timestamp(t, signature, signer.signedAt())},
		}}
	}
	return material
}

// inclusion proves that a log that has this entry alone has it: the hash of the entry is
// the log's.
func (s *Sigstore) inclusion(t testing.TB, body []byte) *protorekor.InclusionProof {
	t.Helper()
	leaf := sha256.Sum256(append([]byte{0}, body...))
	note := fmt.Sprintf("rekor.test - 1\n1\n%s\n", base64.StdEncoding.EncodeToString(leaf[:]))
	signature := slices.Concat(logID(t, s.rekor)[:4], sign(t, s.rekor, []byte(note)))
	return &protorekor.InclusionProof{
		RootHash: leaf[:], TreeSize: 1,
		Checkpoint: &protorekor.Checkpoint{Envelope: note + "\n— rekor.test " + base64.StdEncoding.EncodeToString(signature) + "\n"},
	}
}

func bundleJSON(t testing.TB, message proto.Message) []byte {
	t.Helper()
	data, err := protojson.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
