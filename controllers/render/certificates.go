package render

import (
	"slices"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmetav1 "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CertificateAuthorityInput is what an authority of cert-manager's is rendered from.
type CertificateAuthorityInput struct {
	Config       Config
	Installation Installation
	// Issued is the Secret that the authority is issued into, and Signer that of the one that
	// signs. They differ while the former is to take the place of the latter.
	Issued, Signer string
	// MadeFor and MadeBecause are the values of AnnotationMadeFor and AnnotationMadeBecause.
	MadeFor, MadeBecause string
	// Terms are what the authority is like that was made last.
	Terms CertificateTerms
}

// CertificateAuthority renders what makes cert-manager an authority of our own: an issuer
// that signs itself, the authority's certificate, and the issuer that signs with it.
func CertificateAuthority(in CertificateAuthorityInput) []Object {
	config, installation := in.Config, in.Installation
	authority := installationMeta(config, installation, CertificateCA)
	labels := merge(authority.Labels)
	authority.Annotations = madeAnnotations(in.MadeFor, in.MadeBecause)
	return []Object{
		&certmanagerv1.Issuer{
			TypeMeta:   typeMeta(certmanagerv1.SchemeGroupVersion, certmanagerv1.IssuerKind),
			ObjectMeta: installationMeta(config, installation, IssuerSelfSigned),
			Spec: certmanagerv1.IssuerSpec{IssuerConfig: certmanagerv1.IssuerConfig{
				SelfSigned: &certmanagerv1.SelfSignedIssuer{},
			}},
		},
		&certmanagerv1.Certificate{
			TypeMeta:   typeMeta(certmanagerv1.SchemeGroupVersion, certmanagerv1.CertificateKind),
			ObjectMeta: authority,
			Spec: certmanagerv1.CertificateSpec{
				SecretName: in.Issued,
				CommonName: SecretCA,
				IsCA:       true,
				Duration:   &metav1.Duration{Duration: in.Terms.Duration},
				// To change the key is to change whom API servers trust; a renewal that is
				// not prepared for it would cut them off.
				PrivateKey:     in.Terms.Key.privateKey(certmanagerv1.RotationPolicyNever),
				Usages:         []certmanagerv1.KeyUsage{certmanagerv1.UsageCertSign, certmanagerv1.UsageCRLSign, certmanagerv1.UsageDigitalSignature},
				SecretTemplate: &certmanagerv1.CertificateSecretTemplate{Labels: labels},
				IssuerRef:      OwnIssuer(IssuerSelfSigned),
			},
		},
		&certmanagerv1.Issuer{
			TypeMeta:   typeMeta(certmanagerv1.SchemeGroupVersion, certmanagerv1.IssuerKind),
			ObjectMeta: installationMeta(config, installation, IssuerCA),
			Spec: certmanagerv1.IssuerSpec{IssuerConfig: certmanagerv1.IssuerConfig{
				CA: &certmanagerv1.CAIssuer{SecretName: in.Signer},
			}},
		},
	}
}

// ServingCertificate asks cert-manager for the pair of a PolicyServer. The Secret it
// issues into bears the labels of a child, so that it leads back to the PolicyServer.
func ServingCertificate(config Config, installation Installation, policyServer string) *certmanagerv1.Certificate {
	meta := issuedMeta(config, installation, policyServer)
	return &certmanagerv1.Certificate{
		TypeMeta:   typeMeta(certmanagerv1.SchemeGroupVersion, certmanagerv1.CertificateKind),
		ObjectMeta: meta,
		Spec: certmanagerv1.CertificateSpec{
			SecretName: meta.Name,
			// No common name: it is limited to 64 bytes, and nobody looks at it any more.
			DNSNames:       []string{DNSName(policyServer, config.Namespace)},
			Usages:         []certmanagerv1.KeyUsage{certmanagerv1.UsageDigitalSignature, certmanagerv1.UsageServerAuth},
			SecretTemplate: &certmanagerv1.CertificateSecretTemplate{Labels: merge(meta.Labels)},
		},
	}
}

// IssuerProbe asks an issuer for a certificate that nobody presents: whether it issues, and by
// which authority, is known by that.
func IssuerProbe(config Config, installation Installation) *certmanagerv1.Certificate {
	meta := installationMeta(config, installation, IssuerProbeName)
	return &certmanagerv1.Certificate{
		TypeMeta:   typeMeta(certmanagerv1.SchemeGroupVersion, certmanagerv1.CertificateKind),
		ObjectMeta: meta,
		Spec: certmanagerv1.CertificateSpec{
			SecretName:     meta.Name,
			DNSNames:       []string{meta.Name + "." + config.Namespace + ".svc"},
			Usages:         []certmanagerv1.KeyUsage{certmanagerv1.UsageDigitalSignature, certmanagerv1.UsageServerAuth},
			SecretTemplate: &certmanagerv1.CertificateSecretTemplate{Labels: merge(meta.Labels)},
		},
	}
}

// OwnIssuer refers to an issuer of cert-manager's that the operator made.
func OwnIssuer(name string) cmmetav1.IssuerReference {
	return cmmetav1.IssuerReference{
		Group: certmanagerv1.SchemeGroupVersion.Group,
		Kind:  certmanagerv1.IssuerKind,
		Name:  name,
	}
}

// PublishedCAInput is what the Secret that publishes the authorities is rendered from.
type PublishedCAInput struct {
	Config       Config
	Installation Installation
	// Current is the authority that signs, and Old the one that signed before, in PEM; Old
	// is empty when there is none.
	Current, Old []byte
	// ChangedAt is when Current or Old last changed.
	ChangedAt time.Time
}

// PublishedCA is the Secret from which the webhooks' trust comes, and which upstream's
// tools read. The key of the authority is not in it.
func PublishedCA(in PublishedCAInput) *corev1.Secret {
	meta := installationMeta(in.Config, in.Installation, SecretCA)
	meta.Annotations = map[string]string{
		AnnotationCertFormat:  CertFormat,
		AnnotationCAChangedAt: in.ChangedAt.UTC().Format(time.RFC3339),
	}
	data := map[string][]byte{KeyCA: slices.Clone(in.Current), KeyBundle: slices.Concat(in.Current, in.Old)}
	if len(in.Old) > 0 {
		data[KeyOldCA] = slices.Clone(in.Old)
	}
	return &corev1.Secret{
		TypeMeta:   typeMeta(corev1.SchemeGroupVersion, "Secret"),
		ObjectMeta: meta,
		Type:       corev1.SecretTypeOpaque,
		Data:       data,
	}
}

// issuedMeta is the metadata of what a pair is issued by and into.
func issuedMeta(config Config, installation Installation, policyServer string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name:      IssuedName(policyServer),
		Namespace: config.Namespace,
		Labels:    merge(commonLabels(policyServer), installation.labels()),
	}
}

// IssuedSecret is what the built-in provider issues the pair of a PolicyServer into. It is
// of the type that cert-manager gives its own, so that it can be written over that: the type
// of a Secret cannot change.
func IssuedSecret(in ServingSecretInput) *corev1.Secret {
	meta := issuedMeta(in.Config, in.Installation, in.PolicyServer)
	meta.Annotations = map[string]string{AnnotationBuiltIn: "true"}
	return &corev1.Secret{
		TypeMeta:   typeMeta(corev1.SchemeGroupVersion, "Secret"),
		ObjectMeta: meta,
		Type:       corev1.SecretTypeTLS,
		Data:       in.data(),
	}
}

// BuiltInAuthorityInput is what the Secret of the built-in authority is rendered from.
type BuiltInAuthorityInput struct {
	Config       Config
	Installation Installation
	// Certificate is the authority's own and Key its private key, in PEM. Both are empty to
	// render the metadata alone, for an authority that exists.
	Certificate, Key []byte
	// Because is what kept cert-manager from being chosen; empty when nothing did.
	Because string
	// MadeFor and MadeBecause are the values of AnnotationMadeFor and AnnotationMadeBecause.
	MadeFor, MadeBecause string
}

// BuiltInAuthority is the Secret that holds the authority of the built-in provider.
func BuiltInAuthority(in BuiltInAuthorityInput) *corev1.Secret {
	return in.secret(BuiltInCA)
}

// BuiltInAuthorityNext is the Secret that holds the one that is to sign next.
func BuiltInAuthorityNext(in BuiltInAuthorityInput) *corev1.Secret {
	return in.secret(BuiltInCANext)
}

func (in BuiltInAuthorityInput) secret(name string) *corev1.Secret {
	secret := &corev1.Secret{
		TypeMeta:   typeMeta(corev1.SchemeGroupVersion, "Secret"),
		ObjectMeta: installationMeta(in.Config, in.Installation, name),
		Type:       corev1.SecretTypeTLS,
	}
	secret.Annotations = madeAnnotations(in.MadeFor, in.MadeBecause)
	if in.Because != "" {
		secret.Annotations = merge(secret.Annotations, map[string]string{AnnotationChosenBecause: in.Because})
	}
	if len(in.Certificate) > 0 {
		secret.Data = map[string][]byte{corev1.TLSCertKey: slices.Clone(in.Certificate), corev1.TLSPrivateKeyKey: slices.Clone(in.Key)}
	}
	return secret
}

// ServingSecretInput is what the Secrets with the pair of a PolicyServer are rendered from.
type ServingSecretInput struct {
	Config       Config
	Installation Installation
	// PolicyServer is its name.
	PolicyServer string
	// Certificate is the chain and Key the private key, in PEM.
	Certificate, Key []byte
	// PresentedAt is the value of AnnotationPresentedAt on the mounted Secret; empty where
	// nobody knows.
	PresentedAt string
}

func (in ServingSecretInput) data() map[string][]byte {
	return map[string][]byte{
		corev1.TLSCertKey:       slices.Clone(in.Certificate),
		corev1.TLSPrivateKeyKey: slices.Clone(in.Key),
	}
}

// ServingSecret is the Secret that replicas mount. Its type is upstream's, so that one
// made by upstream can be taken over: the type of a Secret cannot change.
func ServingSecret(in ServingSecretInput) *corev1.Secret {
	annotations := map[string]string{AnnotationCertFormat: CertFormat}
	if in.PresentedAt != "" {
		annotations[AnnotationPresentedAt] = in.PresentedAt
	}
	return &corev1.Secret{
		TypeMeta: typeMeta(corev1.SchemeGroupVersion, "Secret"),
		ObjectMeta: metav1.ObjectMeta{
			Name:        ServingSecretName(in.PolicyServer),
			Namespace:   in.Config.Namespace,
			Labels:      merge(commonLabels(in.PolicyServer), in.Installation.labels()),
			Annotations: annotations,
		},
		Type: corev1.SecretTypeOpaque,
		Data: in.data(),
	}
}

// installationMeta is the metadata of what belongs to the installation as a whole.
func installationMeta(config Config, installation Installation, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name:      name,
		Namespace: config.Namespace,
		Labels: merge(installation.labels(), map[string]string{
			labelPartOf:    partOfKubewarden,
			labelManagedBy: managedByController,
		}),
	}
}

// madeAnnotations say of an authority for what and why it was made; nil when there is nothing
// to say.
func madeAnnotations(madeFor, because string) map[string]string {
	var annotations map[string]string
	for annotation, value := range map[string]string{AnnotationMadeFor: madeFor, AnnotationMadeBecause: because} {
		if value != "" {
			annotations = merge(annotations, map[string]string{annotation: value})
		}
	}
	return annotations
}
