package signature

import (
	"encoding/json"
	"errors"
	"fmt"

	prototrustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"google.golang.org/protobuf/encoding/protojson"
)

// ErrNoTrust is in the error of Check where a trust root could still make the difference.
var ErrNoTrust = errors.New("without a trust root of Sigstore, no identity can be verified")

// Trust is a trust root of Sigstore: who may vouch for identities, and who witnesses that
// and when something was signed. It is safe for concurrent use.
type Trust struct {
	verifier *verify.Verifier
	material root.TrustedMaterial
}

// ParseTrust reads a trust root in JSON: Sigstore's trusted_root.json, or a
// ClientTrustConfig, of which only the member trustedRoot counts, as it does upstream.
//
// What the trust root has decides what a signature needs. Always an authority that issued
// its certificate, and a witness of the time; an entry in a log where the trust root has
// transparency logs; and a signed certificate timestamp where it has certificate logs.
func ParseTrust(data []byte) (*Trust, error) {
	trust, err := parseTrust(data)
	if err != nil {
		return nil, fmt.Errorf("read trust root of Sigstore: %w", err)
	}
	return trust, nil
}

func parseTrust(data []byte) (*Trust, error) {
	var config struct {
		TrustedRoot json.RawMessage `json:"trustedRoot"`
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return nil, fmt.Errorf("it is no JSON object: %w", err)
	}
	if config.TrustedRoot != nil {
		data = config.TrustedRoot
	}
	var message prototrustroot.TrustedRoot
	// A field that is new adds somebody to trust. Not to know it can only refuse.
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, &message); err != nil {
		return nil, err
	}
	material, err := root.NewTrustedRootFromProtobuf(&message)
	if err != nil {
		return nil, err
	}
	return newTrust(material)
}

func newTrust(material root.TrustedMaterial) (*Trust, error) {
	if len(material.FulcioCertificateAuthorities()) == 0 {
		return nil, errors.New(`field "certificateAuthorities" is empty, want at least one: nobody could vouch for an identity`)
	}
	options := []verify.VerifierOption{verify.WithObserverTimestamps(1)}
	switch {
	case len(material.RekorLogs()) > 0:
		options = append(options, verify.WithTransparencyLog(1))
	case len(material.TimestampingAuthorities()) == 0:
		return nil, errors.New(`fields "tlogs" and "timestampAuthorities" are empty, want one in either: nobody could witness when something was signed`)
	}
	if len(material.CTLogs()) > 0 {
		options = append(options, verify.WithSignedCertificateTimestamps(1))
	}
	verifier, err := verify.NewVerifier(material, options...)
	if err != nil {
		return nil, err
	}
	return &Trust{verifier, material}, nil
}

// identify gives the identity that signed something, and the statement that is signed
// where it is one. What makes the artefact is told by the policy.
func (t *Trust) identify(entity verify.SignedEntity, artifact verify.ArtifactPolicyOption) (identity, error) {
	// Whose identity it must be is not told here: requirements compare it themselves.
	result, err := t.verifier.Verify(entity, verify.NewPolicy(artifact, verify.WithoutIdentitiesUnsafe()))
	if err != nil {
		return identity{}, err
	}
	if result.Signature == nil || result.Signature.Certificate == nil {
		return identity{}, errors.New("a signature has no certificate")
	}
	return newIdentity(*result.Signature.Certificate), nil
}
