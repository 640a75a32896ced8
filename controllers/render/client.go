package render

import (
	"slices"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Client is somebody who calls policy servers with a certificate of the installation's.
type Client struct {
	// Name is for messages, and Identity the URI in the certificate.
	Name, Identity string
	// Issued is the Certificate and the Secret that either provider issues into, and Presented
	// the Secret with the pair that is used.
	Issued, Presented string
}

// OperatorAsClient is the operator, which has settings checked.
func OperatorAsClient() Client {
	return Client{Name: "the operator", Identity: contract.OperatorIdentity, Issued: OperatorClient, Presented: OperatorClient + "-cert"}
}

// ScannerAsClient is the audit scanner. The Secret that it is given bears upstream's name (the
// chart's templates/controller/audit-scanner.yaml).
func ScannerAsClient() Client {
	return Client{Name: "the audit scanner", Identity: contract.AuditScannerIdentity, Issued: scannerClient, Presented: scannerClient + "-cert"}
}

// scannerClient is to the audit scanner what OperatorClient is to the operator.
const scannerClient = "kubewarden-audit-scanner-client"

// Clients are all of them.
func Clients() []Client { return []Client{OperatorAsClient(), ScannerAsClient()} }

// ClientCertificate asks cert-manager for the pair of a client, as ServingCertificate does.
func ClientCertificate(config Config, installation Installation, client Client) *certmanagerv1.Certificate {
	meta := installationMeta(config, installation, client.Issued)
	return &certmanagerv1.Certificate{
		TypeMeta:   typeMeta(certmanagerv1.SchemeGroupVersion, certmanagerv1.CertificateKind),
		ObjectMeta: meta,
		Spec: certmanagerv1.CertificateSpec{
			SecretName:     meta.Name,
			URIs:           []string{client.Identity},
			Usages:         []certmanagerv1.KeyUsage{certmanagerv1.UsageDigitalSignature, certmanagerv1.UsageClientAuth},
			SecretTemplate: &certmanagerv1.CertificateSecretTemplate{Labels: merge(meta.Labels)},
		},
	}
}

// PresentedClientInput is what the Secrets with the pair of a client are rendered from.
type PresentedClientInput struct {
	Config       Config
	Installation Installation
	Client       Client
	// Certificate is the chain and Key the private key, in PEM.
	Certificate, Key []byte
	// PresentedAt is the value of AnnotationPresentedAt; empty where nobody knows.
	PresentedAt string
}

func (in PresentedClientInput) data() map[string][]byte {
	return map[string][]byte{corev1.TLSCertKey: slices.Clone(in.Certificate), corev1.TLSPrivateKeyKey: slices.Clone(in.Key)}
}

// IssuedClient is what the built-in provider issues the pair of a client into, in PEM. Type and
// annotation are those of IssuedSecret, for the same reasons.
func IssuedClient(in PresentedClientInput) *corev1.Secret {
	meta := installationMeta(in.Config, in.Installation, in.Client.Issued)
	meta.Annotations = map[string]string{AnnotationBuiltIn: "true"}
	return &corev1.Secret{
		TypeMeta:   typeMeta(corev1.SchemeGroupVersion, "Secret"),
		ObjectMeta: meta,
		Type:       corev1.SecretTypeTLS,
		Data:       in.data(),
	}
}

// PresentedClient is the Secret with the pair that a client uses. Its type is upstream's, so
// that one that upstream's chart made can be taken over: the type of a Secret cannot change.
func PresentedClient(in PresentedClientInput) *corev1.Secret {
	meta := installationMeta(in.Config, in.Installation, in.Client.Presented)
	meta.Annotations = map[string]string{AnnotationCertFormat: CertFormat}
	if in.PresentedAt != "" {
		meta.Annotations[AnnotationPresentedAt] = in.PresentedAt
	}
	return &corev1.Secret{
		TypeMeta:   typeMeta(corev1.SchemeGroupVersion, "Secret"),
		ObjectMeta: meta,
		Type:       corev1.SecretTypeOpaque,
		Data:       in.data(),
	}
}
