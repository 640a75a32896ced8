package signature

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Names of cosign's format: https://github.com/sigstore/cosign, specs/SIGNATURE_SPEC.md.
const (
	// MediaType is that of the layers which are signatures.
	MediaType = "application/vnd.dev.cosign.simplesigning.v1+json"
	// AnnotationSignature of a layer is the signature of its bytes, in base64.
	AnnotationSignature = "dev.cosignproject.cosign/signature"

	payloadType = "cosign container image signature"
)

// Layer is one layer of a signature artefact.
type Layer struct {
	// Payload is the layer's bytes as they are: they are what is signed.
	Payload []byte
	// Annotations are those of the layer in the manifest.
	Annotations map[string]string
}

// Tag is the tag under which cosign keeps the signatures of the manifest of a digest
// ("sha256:" and hex digits), in the repository of the artefact.
func Tag(digest string) string { return strings.Replace(digest, ":", "-", 1) + ".sig" }

// Check is an error unless the layers meet all that is wanted of the artefact whose
// manifest has the digest. The error names every requirement that is open, and why.
func Check(wanted contract.Verification, digest string, layers []Layer) error {
	if len(wanted.AllOf) == 0 && (wanted.AnyOf == nil || wanted.AnyOf.MinimumMatches < 1) {
		return errors.New("no signature is demanded, so nothing can be verified") // DecodeVerification gives no such thing
	}
	if _, open := met(wanted.AllOf, digest, layers); len(open) > 0 {
		return unmet("missing signatures", open)
	}
	if wanted.AnyOf == nil {
		return nil
	}
	got, open := met(wanted.AnyOf.Signatures, digest, layers)
	if got < wanted.AnyOf.MinimumMatches {
		return unmet(fmt.Sprintf("minimum number of signatures not reached: needed %d, got %d", wanted.AnyOf.MinimumMatches, got), open)
	}
	return nil
}

// unmet has upstream's words up to the list: users search for them.
func unmet(what string, open []string) error {
	return fmt.Errorf("%s: %s\nThe following constraints were not satisfied:\n%s", "Image verification failed", what, strings.Join(open, "\n"))
}

// met counts the requirements that some layer meets and describes the others.
func met(wanted []contract.Signature, digest string, layers []Layer) (count int, open []string) {
	for _, one := range wanted {
		if err := meets(one, digest, layers); err != nil {
			open = append(open, fmt.Sprintf("- %s: %v", describe(one), err))
			continue
		}
		count++
	}
	return count, open
}

func meets(wanted contract.Signature, digest string, layers []Layer) error {
	if wanted.Kind != contract.SignaturePubKey {
		return errors.New("without a trust root of Sigstore, no identity can be verified")
	}
	key, err := contract.ParsePublicKey(wanted.Key)
	if err != nil {
		return err
	}
	if len(layers) == 0 {
		return errors.New("the artefact has no signatures")
	}
	causes := make([]string, 0, len(layers))
	for _, layer := range layers {
		err := layer.signedBy(key)
		if err == nil {
			err = layer.states(digest, wanted.Annotations)
		}
		if err == nil {
			return nil
		}
		causes = append(causes, err.Error())
	}
	return errors.New(shorten(causes))
}

// maxCauses bounds a message: who can push signatures decides how many there are.
const maxCauses = 4

func shorten(causes []string) string {
	if more := len(causes) - maxCauses; more > 0 {
		causes = append(causes[:maxCauses:maxCauses], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(causes, "; ")
}

func describe(wanted contract.Signature) string {
	var text string
	switch wanted.Kind {
	case contract.SignaturePubKey:
		text = fmt.Sprintf("kind %s, owner %q, key with SHA-256 %x", wanted.Kind, wanted.Owner, sha256.Sum256([]byte(wanted.Key)))
	case contract.SignatureGenericIssuer:
		text = fmt.Sprintf("kind %s, issuer %q, subject %q", wanted.Kind, wanted.Issuer, cmp.Or(wanted.Subject.Equal, wanted.Subject.URLPrefix))
	case contract.SignatureGithubAction:
		text = fmt.Sprintf("kind %s, owner %q, repo %q", wanted.Kind, wanted.Owner, wanted.Repo)
	default:
		text = fmt.Sprintf("kind %s", wanted.Kind)
	}
	if len(wanted.Annotations) > 0 {
		text += fmt.Sprintf(", annotations %q", wanted.Annotations)
	}
	return text
}

var errOtherKey = errors.New("a signature is not of this key")

// signedBy is an error unless the key signed the payload. Hash and padding are those that
// cosign signs with, whatever the size of the key.
func (l Layer) signedBy(key crypto.PublicKey) error {
	signature, err := base64.StdEncoding.DecodeString(l.Annotations[AnnotationSignature])
	if err != nil || len(signature) == 0 {
		return fmt.Errorf("a layer has no base64 in its annotation %s", AnnotationSignature)
	}
	sum := sha256.Sum256(l.Payload)
	valid := false
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		valid = ecdsa.VerifyASN1(key, sum[:], signature)
	case *rsa.PublicKey:
		valid = rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil
	case ed25519.PublicKey:
		valid = ed25519.Verify(key, l.Payload, signature)
	}
	if !valid {
		return errOtherKey
	}
	return nil
}

// payload is what a signer of a key states (containers/image, docs/containers-signature.5.md).
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
	for key, want := range annotations {
		if got, isText := stated.Optional[key].(string); !isText || got != want {
			return fmt.Errorf("a signature lacks the annotation %q with value %q", key, want)
		}
	}
	return nil
}
