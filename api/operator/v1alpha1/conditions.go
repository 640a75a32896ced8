package v1alpha1

// Conditions of a Kubewarden.
const (
	// ConditionReady is True when everything that the spec asks for is in force.
	ConditionReady = "Ready"
	// ConditionCertificatesReady is True when there is a certificate authority, and the
	// webhooks can be given its certificate.
	ConditionCertificatesReady = "CertificatesReady"
)

// Reasons of Ready.
const (
	// ReasonEnforcing: policies are enforced. Status True.
	ReasonEnforcing = "Enforcing"
	// ReasonSuspended: spec.enforcement is Suspended, so no webhook exists.
	ReasonSuspended = "Suspended"
	// ReasonDefaultPolicyServerNotReady: the default PolicyServer is not Ready.
	ReasonDefaultPolicyServerNotReady = "DefaultPolicyServerNotReady"
	// ReasonCertificatesNotReady: ConditionCertificatesReady is not True.
	ReasonCertificatesNotReady = "CertificatesNotReady"
	// ReasonReconciliationFailed: something could not be written; the message says what.
	ReasonReconciliationFailed = "ReconciliationFailed"
	// ReasonDeleting: the installation is being removed.
	ReasonDeleting = "Deleting"
)

// Reasons of CertificatesReady.
const (
	// ReasonIssued: the certificate authority is there. Status True.
	ReasonIssued = "Issued"
	// ReasonWaitingForIssuer: the certificate authority was asked for and is not there yet.
	ReasonWaitingForIssuer = "WaitingForIssuer"
	// ReasonCertManagerNotFound: the provider is cert-manager, which is not installed.
	ReasonCertManagerNotFound = "CertManagerNotFound"
)
