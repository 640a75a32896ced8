package contract

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Verification is verification.yml: the signatures that a module must have before it is
// served. The format is upstream's (crate policy-fetcher, verify/config.rs). A module
// must meet every one of AllOf, and of AnyOf as many as that says.
//
// A file that any module would meet is refused, where upstream takes it: who mounts
// verification.yml wants something verified.
type Verification struct {
	AllOf []Signature
	AnyOf *AnyOf // nil where the file has none
	// TrustRoot stands beside the file: the trust root of Sigstore, in JSON, by which
	// identities are verified. nil means the public one.
	TrustRoot []byte
}

// AnyOf asks for a number of signatures out of a list.
type AnyOf struct {
	// MinimumMatches counts entries of Signatures, not signers; 1 where the file is silent.
	MinimumMatches int
	Signatures     []Signature
}

// Signature is one requirement. Which fields it has depends on its kind.
type Signature struct {
	Kind SignatureKind
	// Key is a public key in PEM, for SignaturePubKey.
	Key string
	// Owner is, for SignatureGithubAction, the owner of the repository; of a key it is a
	// remark.
	Owner string
	// Repo narrows SignatureGithubAction to one repository; empty for all of the owner.
	Repo string
	// Issuer is who vouched for the identity, for SignatureGenericIssuer.
	Issuer string
	// Subject is the identity, for SignatureGenericIssuer.
	Subject Subject
	// Annotations must stand in the signed payload with these values.
	Annotations map[string]string
}

// Subject is an identity or the beginning of one; exactly one field is set.
type Subject struct {
	Equal string
	// URLPrefix ends with a slash, so that it never ends within a name.
	URLPrefix string
}

// SignatureKind says how a signature is tied to its signer.
type SignatureKind string

// Kinds of signatures.
const (
	SignaturePubKey        SignatureKind = "pubKey"
	SignatureGenericIssuer SignatureKind = "genericIssuer"
	SignatureGithubAction  SignatureKind = "githubAction"
)

const (
	verificationVersion = "v1"
	// textUnsupportedVersion has upstream's words: users search for them.
	textUnsupportedVersion = "Not a supported configuration version"
)

// DecodeVerification reads verification.yml, YAML 1.2 or JSON. A field that is not known
// is refused, and so is a key that cannot be read: a requirement that was dropped would
// let unsigned modules in.
func DecodeVerification(data []byte) (Verification, error) {
	verification, err := decodeVerification(data)
	if err != nil {
		return Verification{}, fmt.Errorf("decode verification: %w", err)
	}
	return verification, nil
}

func decodeVerification(data []byte) (Verification, error) {
	fields, refused, err := splitMapping(data)
	if err != nil {
		return Verification{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(refused)) {
		return Verification{}, fmt.Errorf("field %q: %w", name, refused[name])
	}
	var result Verification
	decoders := map[string]fieldDecoder{
		"apiVersion": func(raw json.RawMessage) error {
			var version string
			if json.Unmarshal(raw, &version) != nil || version != verificationVersion {
				return fmt.Errorf("%s: %s; allowed is %q", textUnsupportedVersion, raw, verificationVersion)
			}
			return nil
		},
		"allOf": signatures(&result.AllOf),
		"anyOf": anyOf(&result.AnyOf),
	}
	if err := decodeFields(fields, decoders, nil); err != nil {
		return Verification{}, err
	}
	if result.AllOf == nil && result.AnyOf == nil {
		return Verification{}, errors.New("config is missing signatures in both allOf and anyOff list")
	}
	if len(result.AllOf) == 0 && (result.AnyOf == nil || result.AnyOf.MinimumMatches == 0) {
		return Verification{}, errors.New("it demands no signature; want one in allOf, or in anyOf with minimumMatches of at least 1")
	}
	return result, nil
}

func anyOf(place **AnyOf) fieldDecoder {
	return func(raw json.RawMessage) error {
		if isNull(raw) {
			return nil
		}
		fields, err := decodeObject(raw)
		if err != nil {
			return err
		}
		result := AnyOf{MinimumMatches: 1}
		decoders := map[string]fieldDecoder{
			"minimumMatches": func(raw json.RawMessage) error {
				var number uint8
				if isNull(raw) || json.Unmarshal(raw, &number) != nil {
					return unexpected(raw, "a whole number from 0 to 255")
				}
				result.MinimumMatches = int(number)
				return nil
			},
			"signatures": signatures(&result.Signatures),
		}
		if err := decodeFields(fields, decoders, []string{"signatures"}); err != nil {
			return err
		}
		if result.MinimumMatches > len(result.Signatures) {
			return fmt.Errorf("field %q: got %d, want at most the number of signatures, which is %d",
				"minimumMatches", result.MinimumMatches, len(result.Signatures))
		}
		*place = &result
		return nil
	}
}

func signatures(place *[]Signature) fieldDecoder {
	return func(raw json.RawMessage) error {
		var items []json.RawMessage
		if err := json.Unmarshal(raw, &items); err != nil {
			return unexpected(raw, "a list of signatures")
		}
		if items == nil { // null
			return nil
		}
		*place = make([]Signature, len(items))
		for i, item := range items {
			var err error
			if (*place)[i], err = decodeSignature(item); err != nil {
				return fmt.Errorf("item %d: %w", i, err)
			}
		}
		return nil
	}
}

func decodeSignature(raw json.RawMessage) (Signature, error) {
	fields, err := decodeObject(raw)
	if err != nil {
		return Signature{}, err
	}
	var signature Signature
	decoders := map[string]fieldDecoder{"annotations": annotations(&signature.Annotations)}
	var required []string
	var kind string
	if _, found := fields["kind"]; !found {
		return Signature{}, fmt.Errorf("field %q is missing", "kind")
	}
	decoders["kind"] = requiredString(&kind)
	if err := decoders["kind"](fields["kind"]); err != nil {
		return Signature{}, fmt.Errorf("field %q: %w", "kind", err)
	}
	signature.Kind = SignatureKind(kind)
	switch signature.Kind {
	case SignaturePubKey:
		decoders["key"] = publicKey(&signature.Key)
		decoders["owner"] = optionalString(&signature.Owner)
		required = []string{"key"}
	case SignatureGenericIssuer:
		decoders["issuer"] = requiredString(&signature.Issuer)
		decoders["subject"] = subject(&signature.Subject)
		required = []string{"issuer", "subject"}
	case SignatureGithubAction:
		decoders["owner"] = requiredString(&signature.Owner)
		decoders["repo"] = optionalString(&signature.Repo)
		required = []string{"owner"}
	default:
		return Signature{}, fmt.Errorf("field %q: got %q, want %s, %s or %s", "kind", kind,
			SignaturePubKey, SignatureGenericIssuer, SignatureGithubAction)
	}
	return signature, decodeFields(fields, decoders, required)
}

func annotations(place *map[string]string) fieldDecoder {
	return func(raw json.RawMessage) error {
		var values map[string]*string
		if json.Unmarshal(raw, &values) != nil {
			return unexpected(raw, "a map from strings to strings")
		}
		for key, value := range values {
			if value == nil {
				return fmt.Errorf("annotation %q is null, want a string", key)
			}
			if *place == nil {
				*place = make(map[string]string, len(values))
			}
			(*place)[key] = *value
		}
		return nil
	}
}

func subject(place *Subject) fieldDecoder {
	return func(raw json.RawMessage) error {
		fields, err := decodeObject(raw)
		if err != nil {
			return err
		}
		decoders := map[string]fieldDecoder{
			"equal":     requiredString(&place.Equal),
			"urlPrefix": requiredString(&place.URLPrefix),
		}
		if err := decodeFields(fields, decoders, nil); err != nil {
			return err
		}
		if len(fields) != 1 {
			return fmt.Errorf("it has %d fields, want exactly one of equal and urlPrefix", len(fields))
		}
		if place.URLPrefix == "" {
			return nil
		}
		if place.URLPrefix, err = ParseURLPrefix(place.URLPrefix); err != nil {
			return fmt.Errorf("field %q: %w", "urlPrefix", err)
		}
		return nil
	}
}

// ParseURLPrefix gives the beginning of a URL as one that does not end within a name: with a
// slash at its end.
func ParseURLPrefix(text string) (string, error) {
	parsed, err := url.Parse(text)
	if err != nil || parsed.Scheme == "" || parsed.Host == "" {
		return "", fmt.Errorf("got %q, want a URL with scheme and host", text)
	}
	if !strings.HasSuffix(text, "/") {
		text += "/"
	}
	return text, nil
}

func publicKey(place *string) fieldDecoder {
	return func(raw json.RawMessage) error {
		if err := requiredString(place)(raw); err != nil {
			return err
		}
		_, err := ParsePublicKey(*place)
		return err
	}
}

// ParsePublicKey reads a public key as cosign writes it: PEM of the type PUBLIC KEY,
// ECDSA, RSA or Ed25519.
func ParsePublicKey(text string) (crypto.PublicKey, error) {
	const want = "want a PEM block PUBLIC KEY with an ECDSA, RSA or Ed25519 key"
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("no PEM found; " + want)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("PEM block %s: %w; %s", block.Type, err, want)
	}
	switch key.(type) {
	case *ecdsa.PublicKey, *rsa.PublicKey, ed25519.PublicKey:
		return key, nil
	default:
		return nil, fmt.Errorf("got a key of type %T; %s", key, want)
	}
}
