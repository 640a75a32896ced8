package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AnnotationRekey asks for another certificate authority, with a key of its own: each new
// value, usually a time, once. Where spec.certificates.issuerRef names an issuer, which has an
// authority of its own, every certificate is issued anew. No request is lost by it.
const AnnotationRekey = "kubewarden.io/rekey"

// Certificates says where certificates come from, how long they last and what keys they have.
// Whatever of it changes is brought about without a lost request: another authority is trusted
// before anybody shows a certificate of it, and the one before until nobody does.
//
// +kubebuilder:validation:XValidation:rule="!has(self.issuerRef) || self.provider != 'built-in'",message="issuerRef: an issuer is cert-manager's, and provider is built-in; allowed with it are auto and cert-manager",fieldPath=".issuerRef"
// +kubebuilder:validation:XValidation:rule="has(self.issuerRef) || !has(self.duration) || !has(self.caDuration) || duration(self.duration) <= duration(self.caDuration)",messageExpression="'duration: ' + self.duration + ' is longer than the life of the authority; allowed is at most caDuration, ' + self.caDuration",fieldPath=".duration"
// +kubebuilder:validation:XValidation:rule="!has(self.renewBefore) || !has(self.duration) || duration(self.renewBefore) < duration(self.duration)",messageExpression="'renewBefore: ' + self.renewBefore + ' is not before the certificate is issued; allowed is less than duration, ' + self.duration",fieldPath=".renewBefore"
type Certificates struct {
	// Provider issues the certificates: cert-manager, the operator's own authority
	// (built-in), or auto. What auto stands for is decided once, when the first certificate
	// is made: cert-manager where it is installed and issues, or where issuerRef names an
	// issuer; built-in elsewhere. The status records it. To change the provider later costs
	// no request: what the old one issued is trusted until nobody shows it any more.
	// +optional
	// +kubebuilder:default=auto
	Provider CertificateProvider `json:"provider,omitempty"`

	// IssuerRef names an issuer of cert-manager's, or one that works with cert-manager, which
	// signs all certificates in the place of an authority that the operator has made. It has
	// to sign for names within the cluster, such as policy-server-default.kubewarden.svc, and
	// to tell with each certificate which authority signed it, as the key ca.crt of the
	// Secret or as the end of the chain. Public authorities do neither.
	// +optional
	IssuerRef *IssuerReference `json:"issuerRef,omitempty"`

	// CADuration is how long the operator's own authority is valid: from 1h to 175200h (20
	// years). Another one takes over when two thirds of that are over, and when this value
	// changes. With issuerRef it has no meaning.
	// +optional
	// +kubebuilder:default="87600h"
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(h|m|s))+$`
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1h') && duration(self) <= duration('175200h')",message="allowed is from 1h to 175200h (20 years)"
	CADuration *metav1.Duration `json:"caDuration,omitempty"`

	// Duration is how long the certificates of policy servers and of their clients are valid:
	// from 1h to 87600h (10 years), and no longer than caDuration. They are issued anew when
	// it changes.
	// +optional
	// +kubebuilder:default="8760h"
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(h|m|s))+$`
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1h') && duration(self) <= duration('87600h')",message="allowed is from 1h to 87600h (10 years)"
	Duration *metav1.Duration `json:"duration,omitempty"`

	// RenewBefore is how long before the end of their life certificates are issued anew: from
	// 5m to less than duration. Without it that is a third of their life.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(h|m|s))+$`
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('5m')",message="allowed is from 5m to less than duration"
	RenewBefore *metav1.Duration `json:"renewBefore,omitempty"`

	// PrivateKey is what keys the certificates have. They are issued anew when it changes.
	// +optional
	PrivateKey *CertificateKey `json:"privateKey,omitempty"`

	// CAPrivateKey is what key the operator's own authority has. Another one takes over when
	// it changes. With issuerRef it has no meaning.
	// +optional
	CAPrivateKey *CertificateKey `json:"caPrivateKey,omitempty"`
}

// IssuerReference names an issuer.
type IssuerReference struct {
	// Name is that of the issuer. One of a kind with namespaces is in the operator's.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// Kind is Issuer, ClusterIssuer, or a kind of an issuer that is not part of
	// cert-manager.
	// +optional
	// +kubebuilder:default=Issuer
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]*$`
	Kind string `json:"kind,omitempty"`

	// Group is the API group of the kind.
	// +optional
	// +kubebuilder:default=cert-manager.io
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Group string `json:"group,omitempty"`
}

// CertificateKey says what a private key is like.
//
// +kubebuilder:validation:XValidation:rule="!has(self.size) || (self.algorithm == 'RSA' ? self.size in [2048, 3072, 4096] : self.size in [256, 384, 521])",message="size: allowed is 256, 384 or 521 for ECDSA, and 2048, 3072 or 4096 for RSA",fieldPath=".size"
type CertificateKey struct {
	// Algorithm is ECDSA or RSA.
	// +optional
	// +kubebuilder:default=ECDSA
	Algorithm KeyAlgorithm `json:"algorithm,omitempty"`

	// Size is in bits: 256, 384 or 521 for ECDSA, and 2048, 3072 or 4096 for RSA. Without it
	// that is the first of them.
	// +optional
	Size *int32 `json:"size,omitempty"`
}

// KeyAlgorithm is an algorithm of private keys.
// +kubebuilder:validation:Enum=ECDSA;RSA
type KeyAlgorithm string

// The algorithms of private keys.
const (
	// KeyAlgorithmECDSA is ECDSA on a curve of NIST's.
	KeyAlgorithmECDSA KeyAlgorithm = "ECDSA"
	// KeyAlgorithmRSA is RSA.
	KeyAlgorithmRSA KeyAlgorithm = "RSA"
)

// CertificateProvider issues certificates.
// +kubebuilder:validation:Enum=auto;cert-manager;built-in
type CertificateProvider string

// The providers of certificates.
const (
	// CertificateProviderAuto is decided once, when the first certificate is made.
	CertificateProviderAuto CertificateProvider = "auto"
	// CertificateProviderCertManager is cert-manager.
	CertificateProviderCertManager CertificateProvider = "cert-manager"
	// CertificateProviderBuiltIn is an authority of the operator's own.
	CertificateProviderBuiltIn CertificateProvider = "built-in"
)

// RekeyingSteps is how many steps it takes for another certificate authority to take over.
const RekeyingSteps = 4

// Rekeying tells how another certificate authority takes over.
type Rekeying struct {
	// Step is what is being done: the next authority is made (1), it is published and every
	// webhook comes to trust it (2), certificates are issued by it (3), and every replica comes
	// to present them, until which the authority before stays trusted (4).
	Step int32 `json:"step"`

	// Because says why.
	// +optional
	Because string `json:"because,omitempty"`

	// WaitingFor says what is waited for, and names the Pod or the object.
	// +optional
	WaitingFor string `json:"waitingFor,omitempty"`
}
