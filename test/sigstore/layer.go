package sigstore

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"testing"
)

// entryIndex is the place of every entry in the transparency log.
const entryIndex = 7

// Layer signs a payload as cosign does, and gives the annotations of the layer.
func (s *Sigstore) Layer(t testing.TB, by Signer, payload []byte) map[string]string {
	t.Helper()
	signer := s.certify(t, by)
	signature := sign(t, signer.key, payload)
	annotations := map[string]string{
		"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(signature),
		"dev.sigstore.cosign/certificate":    string(signer.pem()),
	}
	if by.Without&TransparencyLog == 0 {
		maps.Copy(annotations, s.logged(t, signer, messageEntry(t, signer, payload, signature)))
	}
	if by.Timestamped {
		annotations["dev.sigstore.cosign/rfc3161timestamp"] = text(t, map[string]any{"SignedRFC3161Timestamp": s.timestamps.timestamp(t, signature, signer.signedAt())})
	}
	return annotations
}

// logged gives the annotation with what the transparency log answers to an entry.
func (s *Sigstore) logged(t testing.TB, signer certified, entry []byte) map[string]string {
	t.Helper()
	payload := s.logPayload(t, signer, entry)
	return map[string]string{"dev.sigstore.cosign/bundle": text(t, map[string]any{
		"SignedEntryTimestamp": sign(t, s.rekor, []byte(text(t, payload))),
		"Payload":              payload,
	})}
}

// logPayload is what the log promises. Maps are written in the order of their keys, which
// is the canonical form that is signed.
func (s *Sigstore) logPayload(t testing.TB, signer certified, entry []byte) map[string]any {
	t.Helper()
	return map[string]any{
		"body":           entry,
		"integratedTime": signer.signedAt().Unix(),
		"logID":          hex.EncodeToString(logID(t, s.rekor)),
		"logIndex":       entryIndex,
	}
}

// messageEntry is the entry of the log for a message and its signature.
func messageEntry(t testing.TB, signer certified, message, signature []byte) []byte {
	t.Helper()
	return []byte(text(t, map[string]any{
		"apiVersion": "0.0.1", "kind": "hashedrekord",
		"spec": map[string]any{
			"data":      map[string]any{"hash": digest(message)},
			"signature": map[string]any{"content": signature, "publicKey": map[string]any{"content": signer.pem()}},
		},
	}))
}

func digest(data []byte) map[string]string {
	return map[string]string{"algorithm": "sha256", "value": fmt.Sprintf("%x", sha256.Sum256(data))}
}

func text(t testing.TB, value any) string {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
