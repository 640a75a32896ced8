package render

import (
	"fmt"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmetav1 "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
)

// Terms are what certificates are to be like, whoever issues them.
type Terms struct {
	// Authority are those of an authority of the operator's own, and Leaf those of what
	// policy servers and their clients show.
	Authority, Leaf CertificateTerms
}

// CertificateTerms are what a certificate is to be like.
type CertificateTerms struct {
	// Duration is how long it is valid.
	Duration time.Duration
	// RenewBefore is how long before its end it is issued anew; 0 is a third of its life.
	RenewBefore time.Duration
	// Key is what its key is like.
	Key KeyTerms
}

// KeyTerms are what a private key is to be like.
type KeyTerms struct {
	Algorithm operatorv1alpha1.KeyAlgorithm
	// Size is in bits.
	Size int
}

// String is for messages.
func (k KeyTerms) String() string { return fmt.Sprintf("%s %d", k.Algorithm, k.Size) }

// Lifetimes of certificates for which nothing is said; those of upstream (certs package of its
// controller).
const (
	AuthorityLifetime = 10 * 365 * 24 * time.Hour
	ServingLifetime   = 365 * 24 * time.Hour
)

// Sizes of keys for which nothing is said, in bits.
const (
	curveSize   = 256
	modulusSize = 2048
)

// DefaultTerms are what holds where nothing is said.
func DefaultTerms() Terms { return NewTerms(operatorv1alpha1.Certificates{}) }

// NewTerms reads the spec of a Kubewarden.
func NewTerms(spec operatorv1alpha1.Certificates) Terms {
	return Terms{
		Authority: CertificateTerms{Duration: durationOr(spec.CADuration, AuthorityLifetime), Key: newKeyTerms(spec.CAPrivateKey)},
		Leaf: CertificateTerms{
			Duration: durationOr(spec.Duration, ServingLifetime), RenewBefore: durationOr(spec.RenewBefore, 0),
			Key: newKeyTerms(spec.PrivateKey),
		},
	}
}

func durationOr(duration *metav1.Duration, other time.Duration) time.Duration {
	if duration == nil {
		return other
	}
	return duration.Duration
}

func newKeyTerms(key *operatorv1alpha1.CertificateKey) KeyTerms {
	terms := KeyTerms{Algorithm: operatorv1alpha1.KeyAlgorithmECDSA}
	if key != nil && key.Algorithm != "" {
		terms.Algorithm = key.Algorithm
	}
	switch {
	case key != nil && key.Size != nil:
		terms.Size = int(*key.Size)
	case terms.Algorithm == operatorv1alpha1.KeyAlgorithmRSA:
		terms.Size = modulusSize
	default:
		terms.Size = curveSize
	}
	return terms
}

// RequestedFrom is a copy of a Certificate that asks an issuer for what it says, on the terms.
func RequestedFrom(issuer cmmetav1.IssuerReference, terms CertificateTerms, certificate *certmanagerv1.Certificate) *certmanagerv1.Certificate {
	requested := certificate.DeepCopy()
	requested.Spec.IssuerRef = issuer
	requested.Spec.Duration = &metav1.Duration{Duration: terms.Duration}
	requested.Spec.RenewBefore = nil
	if terms.RenewBefore > 0 {
		requested.Spec.RenewBefore = &metav1.Duration{Duration: terms.RenewBefore}
	}
	requested.Spec.PrivateKey = terms.Key.privateKey(certmanagerv1.RotationPolicyAlways)
	return requested
}

func (k KeyTerms) privateKey(rotation certmanagerv1.PrivateKeyRotationPolicy) *certmanagerv1.CertificatePrivateKey {
	return &certmanagerv1.CertificatePrivateKey{
		Algorithm:      certmanagerv1.PrivateKeyAlgorithm(k.Algorithm),
		Size:           k.Size,
		RotationPolicy: rotation,
	}
}

// KeyTermsOf reads what a Certificate asks for.
func KeyTermsOf(key *certmanagerv1.CertificatePrivateKey) KeyTerms {
	if key == nil {
		return KeyTerms{}
	}
	return KeyTerms{Algorithm: operatorv1alpha1.KeyAlgorithm(key.Algorithm), Size: key.Size}
}
