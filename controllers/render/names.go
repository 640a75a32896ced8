package render

import "github.com/kubewarden/kubewarden-operator/policyserver/contract"

// Names that users and other tools rely on. Where a name is upstream's, the comment
// names the file of upstream's controller that defines it.
const (
	// SecretCA holds the authorities that sign serving certificates (constants.go).
	SecretCA = "kubewarden-ca"
	// KeyCA and KeyOldCA are its keys: PEM certificates (constants.go).
	KeyCA    = "ca.crt"
	KeyOldCA = "old-ca.crt"
	// KeyBundle has all of them in one text, for readers that take one file.
	KeyBundle = "ca-bundle.crt"

	// KeyVerificationConfig is the key of the ConfigMap that spec.verificationConfig names
	// (constants.go).
	KeyVerificationConfig = "verification-config"
	// KeySigstoreTrustConfig is the key of the ConfigMap that spec.sigstoreTrustConfig
	// names (constants.go).
	KeySigstoreTrustConfig = "sigstore-trust-config"

	// PortName is the name of the port that answers, of a policy server's container and the
	// first one of its Service
	// (policyserver_controller_service.go). Upstream's audit scanner calls ports[0].
	PortName = "policy-server"
	// metricsPortName is the name of the second port.
	metricsPortName = "metrics"

	// AuditScannerName is the CronJob of the scanner, its account and its rights
	// (the chart's templates/controller/audit-scanner.yaml).
	AuditScannerName = "audit-scanner"
	// auditTrust is the ConfigMap of the authorities that the scanner trusts.
	auditTrust = "audit-scanner-ca"

	// webhookSuffix ends the name of the one webhook in a configuration (constants.go).
	webhookSuffix = ".kubewarden.admission"
)

// ClusterRoles that the operator may bind and does not make: they come with it, or with
// Kubernetes. Each has one binding with a fixed name.
const (
	ClusterRoleAuditScanner   = "kubewarden-audit-scanner"
	ClusterRoleContextWatcher = "kubewarden-context-watcher"
	ClusterRoleView           = "view"

	auditClusterRoleBinding = ClusterRoleAuditScanner
	auditViewBinding        = ClusterRoleAuditScanner + "-view"
	contextWatcherBinding   = ClusterRoleContextWatcher
)

// Names of the cert-manager objects that make up the certificate authority. Secrets that
// cert-manager writes bear the name of their Certificate.
const (
	// IssuerSelfSigned signs the authority's own certificate.
	IssuerSelfSigned = "kubewarden-selfsigned"
	// CertificateCA is the authority's certificate, and the Secret that holds its key. An
	// authority that followed another one is in a Secret whose name begins with it.
	CertificateCA = "kubewarden-ca-cm"
	// IssuerCA signs the serving certificates.
	IssuerCA = "kubewarden-ca"
)

// BuiltInCA is the Secret with the authority of the built-in provider, its key included. Nobody
// but the operator reads it; the certificate alone is published in SecretCA.
const BuiltInCA = "kubewarden-ca-built-in"

// BuiltInCANext is the Secret with the authority that is to take the place of that in BuiltInCA.
// It is there for as long as that takes.
const BuiltInCANext = BuiltInCA + "-next"

// OperatorClient is the Certificate and the Secret of the pair with which the operator calls
// policy servers.
const OperatorClient = "kubewarden-operator-client"

// IssuerProbeName is the Certificate and the Secret by which the authority of an issuer is
// known that a user named. Nobody presents what is in it.
const IssuerProbeName = "kubewarden-issuer"

// childName is the base name of all children of a PolicyServer
// (api/policies/v1/policyserver_types.go, NameWithPrefix).
func childName(policyServer string) string { return contract.ConfigMapName(policyServer) }

// ServiceName is the Service that API servers call for the policies of a PolicyServer.
func ServiceName(policyServer string) string { return childName(policyServer) }

// DeploymentName is the Deployment of a PolicyServer.
func DeploymentName(policyServer string) string { return childName(policyServer) }

// ServingSecretName is the Secret with the pair tls.crt and tls.key that the replicas of
// a PolicyServer mount.
func ServingSecretName(policyServer string) string { return childName(policyServer) }

// IssuedName is the Certificate of a PolicyServer and the Secret that either provider issues
// into. It is not the mounted one: a new pair is presented only once API servers trust it.
func IssuedName(policyServer string) string { return childName(policyServer) + "-issued" }

// DNSName is the name that API servers call and verify.
func DNSName(policyServer, namespace string) string {
	return ServiceName(policyServer) + "." + namespace + ".svc"
}

// WebhookName is the name of the one webhook in the configuration of a policy.
func WebhookName(policyID string) string { return policyID + webhookSuffix }
