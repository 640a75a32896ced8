package oci

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/signature"
)

// Kinds of what a policy demands, in upstream's words.
const (
	kindPublicKey   = "SigstorePubKeyVerify"
	kindKeyless     = "SigstoreKeylessVerify"
	kindPrefix      = "SigstoreKeylessPrefixVerify"
	kindGithub      = "SigstoreGithubActionsVerify"
	kindCertificate = "SigstoreCertificateVerify"
)

// Bounds on what one call demands: each signature is checked by each of them.
const (
	maxSigners = 32
	maxChain   = 16
)

// verdict is the answer of v1/verify and v2/verify. What is not trusted is an error, as it is
// upstream.
type verdict struct {
	IsTrusted bool   `json:"is_trusted"`
	Digest    string `json:"digest"`
}

// demand is the payload of v2/verify; that of v1/verify has its type as the name of its only
// member. Which fields count depends on the type. Numbers for bytes are what guests send.
type demand struct {
	Type          string             `json:"type"`
	Image         string             `json:"image"`
	Annotations   map[string]*string `json:"annotations"`
	PublicKeys    []string           `json:"pub_keys"`
	Keyless       []keyless          `json:"keyless"`
	KeylessPrefix []keylessPrefix    `json:"keyless_prefix"`
	Owner         string             `json:"owner"`
	Repo          string             `json:"repo"`
	Certificate   []byte             `json:"certificate"`
	Chain         [][]byte           `json:"certificate_chain"`
	Logged        *bool              `json:"require_rekor_bundle"`
}

// keyless is an identity.
type keyless struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
}

// keylessPrefix are the identities that begin with something.
type keylessPrefix struct {
	Issuer    string `json:"issuer"`
	URLPrefix string `json:"url_prefix"`
}

// check makes the check of an artefact at a time.
type check func(now time.Time) fetch.Demand

// decodeVerify1 reads the payload of v1/verify.
func decodeVerify1(payload []byte) (question, error) {
	var tagged map[string]json.RawMessage
	if err := json.Unmarshal(payload, &tagged); err != nil {
		return question{}, fmt.Errorf("decode payload: %w", err)
	}
	if len(tagged) != 1 {
		return question{}, fmt.Errorf("payload has %d members, want one, which is %s or %s", len(tagged), kindPublicKey, kindKeyless)
	}
	for kind, content := range tagged {
		if kind != kindPublicKey && kind != kindKeyless {
			return question{}, fmt.Errorf("payload has the member %.64q; allowed are %s and %s", kind, kindPublicKey, kindKeyless)
		}
		if !bytes.HasPrefix(content, []byte("{")) {
			return question{}, fmt.Errorf("%s is %.64q, want an object", kind, content)
		}
		return decodeVerify(content, func(d *demand) { d.Type = kind })
	}
	return question{}, errors.New("payload is empty") // not reached
}

// decodeVerify2 reads the payload of v2/verify.
func decodeVerify2(payload []byte) (question, error) {
	return decodeVerify(payload, func(*demand) {})
}

func decodeVerify(content []byte, complete func(*demand)) (question, error) {
	var d demand
	if err := json.Unmarshal(content, &d); err != nil {
		return question{}, fmt.Errorf("decode payload: %w", err)
	}
	complete(&d)
	annotations, err := d.annotations()
	if err != nil {
		return question{}, err
	}
	check, err := d.check(annotations)
	if err != nil {
		return question{}, err
	}
	if d.Image, err = parseReference("image", d.Image); err != nil {
		return question{}, err
	}
	key, err := json.Marshal(d)
	if err != nil {
		return question{}, err
	}
	return question{
		key: fmt.Sprintf("%x", sha256.Sum256(key)),
		ask: func(ctx context.Context, registries Registries, now time.Time) (any, error) {
			digest, err := registries.Verify(ctx, d.Image, check(now))
			return verdict{err == nil, digest}, err
		},
	}, nil
}

func (d demand) annotations() (map[string]string, error) {
	annotations := make(map[string]string, len(d.Annotations))
	for key, value := range d.Annotations {
		if value == nil {
			return nil, fmt.Errorf("annotation %.64q is null, want a text", key)
		}
		annotations[key] = *value
	}
	return annotations, nil
}

// check reads what is demanded. Upstream's words stand first where it has any.
func (d demand) check(annotations map[string]string) (check, error) {
	var wanted []contract.Signature
	var err error
	switch d.Type {
	case kindPublicKey:
		wanted, err = each("pub_keys", "Must provide at least one pub key", d.PublicKeys, publicKey)
	case kindKeyless:
		wanted, err = each("keyless", "Must provide keyless info", d.Keyless, keyless.signature)
	case kindPrefix:
		wanted, err = each("keyless_prefix", "Must provide keyless info", d.KeylessPrefix, keylessPrefix.signature)
	case kindGithub:
		if d.Owner == "" {
			return nil, errors.New("Must provide owner info: owner is empty, want a user or an organization") //nolint:staticcheck // upstream's text, known to users
		}
		wanted = []contract.Signature{{Kind: contract.SignatureGithubAction, Owner: d.Owner, Repo: d.Repo}}
	case kindCertificate:
		return d.certificate(annotations)
	default:
		return nil, fmt.Errorf("type is %.64q; allowed are %s, %s, %s, %s and %s", d.Type, kindPublicKey, kindKeyless, kindPrefix, kindGithub, kindCertificate)
	}
	if err != nil {
		return nil, err
	}
	for i := range wanted {
		wanted[i].Annotations = annotations
	}
	verification := contract.Verification{AllOf: wanted}
	return func(time.Time) fetch.Demand {
		return func(trust *signature.Trust, digest string, proofs []signature.Proof) error {
			return signature.Check(verification, trust, digest, proofs)
		}
	}, nil
}

// each reads the items of a list that is not to be empty.
func each[T any](field, empty string, items []T, signatureOf func(T) (contract.Signature, error)) ([]contract.Signature, error) {
	if len(items) == 0 {
		return nil, fmt.Errorf("%s: %s is empty", empty, field)
	}
	if len(items) > maxSigners {
		return nil, fmt.Errorf("%s has %d items, at most %d are allowed", field, len(items), maxSigners)
	}
	wanted := make([]contract.Signature, len(items))
	for i, item := range items {
		var err error
		if wanted[i], err = signatureOf(item); err != nil {
			return nil, fmt.Errorf("%s[%d]: %w", field, i, err)
		}
	}
	return wanted, nil
}

func publicKey(text string) (contract.Signature, error) {
	_, err := contract.ParsePublicKey(text)
	return contract.Signature{Kind: contract.SignaturePubKey, Key: text}, err
}

func (k keyless) signature() (contract.Signature, error) {
	if k.Issuer == "" || k.Subject == "" {
		return contract.Signature{}, fmt.Errorf("issuer is %.64q and subject is %.64q, want both", k.Issuer, k.Subject)
	}
	return contract.Signature{Kind: contract.SignatureGenericIssuer, Issuer: k.Issuer, Subject: contract.Subject{Equal: k.Subject}}, nil
}

func (k keylessPrefix) signature() (contract.Signature, error) {
	if k.Issuer == "" {
		return contract.Signature{}, errors.New("issuer is empty")
	}
	prefix, err := contract.ParseURLPrefix(k.URLPrefix)
	if err != nil {
		return contract.Signature{}, fmt.Errorf("url_prefix: %w", err)
	}
	return contract.Signature{Kind: contract.SignatureGenericIssuer, Issuer: k.Issuer, Subject: contract.Subject{URLPrefix: prefix}}, nil
}

// certificate reads the demand of a signature by the key of a certificate.
func (d demand) certificate(annotations map[string]string) (check, error) {
	if d.Logged == nil {
		return nil, errors.New("require_rekor_bundle is missing; want true or false")
	}
	if len(d.Chain) > maxChain {
		return nil, fmt.Errorf("certificate_chain has %d certificates, at most %d are allowed", len(d.Chain), maxChain)
	}
	signer, err := signature.ParseCertificate(d.Certificate)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	chain := make([]*x509.Certificate, len(d.Chain))
	for i, text := range d.Chain {
		if chain[i], err = signature.ParseCertificate(text); err != nil {
			return nil, fmt.Errorf("certificate_chain[%d]: %w", i, err)
		}
	}
	if d.Chain != nil && len(chain) == 0 {
		return nil, errors.New("certificate_chain is empty, so nobody is trusted; want certificates, or null to trust the certificate as it is")
	}
	return func(now time.Time) fetch.Demand {
		return func(trust *signature.Trust, digest string, proofs []signature.Proof) error {
			err := signature.Certificate{Certificate: signer, Chain: chain, Logged: *d.Logged, Annotations: annotations, Now: now}.Check(trust, digest, proofs)
			if err != nil {
				return fmt.Errorf("verification failed: %w", err)
			}
			return nil
		}
	}, nil
}
