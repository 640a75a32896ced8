package signature

import (
	"cmp"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Tag is the tag under which cosign keeps the signatures of the manifest of a digest
// ("sha256:" and hex digits), in the repository of the artefact.
func Tag(digest string) string { return strings.Replace(digest, ":", "-", 1) + ".sig" }

// Proof is a signature that was found: a Layer or a Bundle.
type Proof interface {
	// signedBy is an error unless the key made the signature.
	signedBy(key crypto.PublicKey) error
	// identify gives the identity that made the signature, of which the artefact of the
	// digest is told to be the object.
	identify(trust *Trust, digest string) (identity, error)
	// witnessed is an error unless the verifier, which is to know a transparency log, finds
	// the signature made by the signer.
	witnessed(verifier *verify.Verifier, signer *x509.Certificate, digest string) error
	// states is an error unless what is signed is about the artefact of the digest and has
	// the annotations.
	states(digest string, annotations map[string]string) error
}

// Check is an error unless the proofs meet all that is wanted of the artefact whose
// manifest has the digest. The error names every requirement that is open, and why.
// Without trust (nil), requirements of identities stay open, and ErrNoTrust is in the
// error when they are what is missing.
func Check(wanted contract.Verification, trust *Trust, digest string, proofs []Proof) error {
	if len(wanted.AllOf) == 0 && (wanted.AnyOf == nil || wanted.AnyOf.MinimumMatches < 1) {
		return errors.New("no signature is demanded, so nothing can be verified") // DecodeVerification gives no such thing
	}
	artefact := artefact{digest, trust, proofs}
	if open := artefact.open(wanted.AllOf); len(open) > 0 {
		return unmet("missing signatures", open, undecided(open) == len(open))
	}
	if wanted.AnyOf == nil {
		return nil
	}
	open := artefact.open(wanted.AnyOf.Signatures)
	needed, got := wanted.AnyOf.MinimumMatches, len(wanted.AnyOf.Signatures)-len(open)
	if got >= needed {
		return nil
	}
	return unmet(fmt.Sprintf("minimum number of signatures not reached: needed %d, got %d", needed, got),
		open, got+undecided(open) >= needed)
}

// unmet has upstream's words up to the list: users search for them. Where it is not
// decided, ErrNoTrust is in it.
func unmet(what string, open []error, isUndecided bool) error {
	text := fmt.Sprintf("%s: %s\nThe following constraints were not satisfied:\n%s", "Image verification failed", what, errors.Join(open...))
	if isUndecided {
		return &undecidedError{text}
	}
	return errors.New(text)
}

// undecidedError says what is open for want of trust alone.
type undecidedError struct{ text string }

func (e *undecidedError) Error() string { return e.text }

func (e *undecidedError) Unwrap() error { return ErrNoTrust }

// undecided counts the requirements that are open for want of trust alone.
func undecided(open []error) (count int) {
	for _, err := range open {
		if errors.Is(err, ErrNoTrust) {
			count++
		}
	}
	return count
}

// artefact is what is judged, with what there is to judge it by.
type artefact struct {
	digest string
	trust  *Trust
	proofs []Proof
}

// open gives an error for each requirement that no signature meets.
func (a artefact) open(wanted []contract.Signature) (open []error) {
	for _, one := range wanted {
		if err := a.meets(one); err != nil {
			open = append(open, fmt.Errorf("- %s: %w", describe(one), err))
		}
	}
	return open
}

func (a artefact) meets(wanted contract.Signature) error {
	isSigner, err := a.signerCheck(wanted)
	if err != nil {
		return err
	}
	if len(a.proofs) == 0 {
		return errors.New("the artefact has no signatures")
	}
	causes := make([]string, 0, len(a.proofs))
	for _, proof := range a.proofs {
		err := isSigner(proof)
		if err == nil {
			err = proof.states(a.digest, wanted.Annotations)
		}
		if err == nil {
			return nil
		}
		causes = append(causes, err.Error())
	}
	return errors.New(shorten(causes))
}

// signerCheck gives what tells whether a signature is of the signer that is wanted.
func (a artefact) signerCheck(wanted contract.Signature) (func(Proof) error, error) {
	switch wanted.Kind {
	case contract.SignaturePubKey:
		key, err := contract.ParsePublicKey(wanted.Key)
		return func(proof Proof) error { return proof.signedBy(key) }, err
	case contract.SignatureGenericIssuer, contract.SignatureGithubAction:
		if a.trust == nil {
			return nil, ErrNoTrust
		}
		return func(proof Proof) error {
			who, err := proof.identify(a.trust, a.digest)
			if err != nil {
				return err
			}
			return who.meets(wanted)
		}, nil
	default:
		return nil, errors.New("signatures of this kind are not known")
	}
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
