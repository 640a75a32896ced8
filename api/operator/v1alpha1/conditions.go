package v1alpha1

// Conditions of a Kubewarden.
const (
	// ConditionReady is True when everything that the spec asks for is in force.
	ConditionReady = "Ready"
	// ConditionProgressing is True while something comes about that the spec, or a policy or
	// a policy server, asks for, and that needs nobody's help.
	ConditionProgressing = "Progressing"
	// ConditionDegraded is True when something that is asked for does not come about until
	// somebody does something: the message names what.
	ConditionDegraded = "Degraded"
	// ConditionCertificatesReady is True when there is a certificate authority, and the
	// webhooks can be given its certificate.
	ConditionCertificatesReady = "CertificatesReady"
	// ConditionCertificatesCurrent is True unless a certificate is in use that should have been
	// replaced long since: the message names it, and when it expires.
	ConditionCertificatesCurrent = "CertificatesCurrent"
	// ConditionReportKindsServed is True when the cluster serves the kinds that audit
	// reports are written as.
	ConditionReportKindsServed = "ReportKindsServed"
	// ConditionAuditScheduled is True when scans start by the schedule.
	ConditionAuditScheduled = "AuditScheduled"
	// ConditionRecommendedPoliciesApplied is True when the recommended policies exist as
	// they are wanted.
	ConditionRecommendedPoliciesApplied = "RecommendedPoliciesApplied"
	// ConditionMonitoringApplied is True when the ServiceMonitors, the alerts and the
	// dashboard exist as they are wanted.
	ConditionMonitoringApplied = "MonitoringApplied"
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
	// ReasonAuditNotScheduled: ConditionAuditScheduled is False, and audits are wanted.
	// Policies are enforced all the same.
	ReasonAuditNotScheduled = "AuditNotScheduled"
	// ReasonReconciliationFailed: something could not be written; the message says what.
	ReasonReconciliationFailed = "ReconciliationFailed"
	// ReasonUpstreamControllerRunning: upstream's controller runs in the cluster, and nothing
	// is written until it is gone. The message says where it runs. Degraded has it too.
	ReasonUpstreamControllerRunning = "UpstreamControllerRunning"
	// ReasonDeleting: the installation is being removed.
	ReasonDeleting = "Deleting"
)

// Reasons of Progressing; ReasonDeleting, and those of other conditions that are on their way
// to True, are others.
const (
	// ReasonSettled: nothing is under way. Status False.
	ReasonSettled = "Settled"
	// ReasonPolicyServersStarting: policy servers wait for certificates or replicas.
	ReasonPolicyServersStarting = "PolicyServersStarting"
	// ReasonPoliciesLoading: policies are not served by all replicas yet.
	ReasonPoliciesLoading = "PoliciesLoading"
)

// Reasons of Degraded; ReasonReconciliationFailed, ReasonAuditNotScheduled and those of
// CertificatesReady are others.
const (
	// ReasonNothingFailed: nothing needs anybody. Status False.
	ReasonNothingFailed = "NothingFailed"
	// ReasonPolicyServersFailing: policy servers name something that is not there, or cannot
	// be made.
	ReasonPolicyServersFailing = "PolicyServersFailing"
	// ReasonPoliciesFailing: policies are refused, or what they need is not there.
	ReasonPoliciesFailing = "PoliciesFailing"
)

// Reasons of CertificatesReady.
const (
	// ReasonIssued: the certificate authority is there. Status True.
	ReasonIssued = "Issued"
	// ReasonWaitingForIssuer: the certificate authority was asked for and is not there yet.
	ReasonWaitingForIssuer = "WaitingForIssuer"
	// ReasonCertManagerNotFound: the provider is cert-manager, which is not installed.
	ReasonCertManagerNotFound = "CertManagerNotFound"
	// ReasonCertManagerNotIssuing: cert-manager was the first choice and issued nothing, so
	// the built-in provider took over. Status True.
	ReasonCertManagerNotIssuing = "CertManagerNotIssuing"
	// ReasonIssuerWithoutAuthority: the issuer of spec.certificates.issuerRef does not tell
	// which authority signs what it issues.
	ReasonIssuerWithoutAuthority = "IssuerWithoutAuthority"
	// ReasonChangingProvider: the spec names another provider, which has not issued yet; the
	// one in the status goes on. Status True.
	ReasonChangingProvider = "ChangingProvider"
	// ReasonRekeying: another authority takes over, step by step; the message says what is
	// waited for. Status True.
	ReasonRekeying = "Rekeying"
	// ReasonAuthorityUnusable: the Secret of the built-in authority cannot be used.
	ReasonAuthorityUnusable = "AuthorityUnusable"
)

// Reasons of CertificatesCurrent.
const (
	// ReasonRenewedInTime: every certificate is renewed in time. Status True.
	ReasonRenewedInTime = "RenewedInTime"
	// ReasonExpiresSoon: some certificate was not renewed in time.
	ReasonExpiresSoon = "ExpiresSoon"
)

// Reasons of ReportKindsServed.
const (
	// ReasonServed: the kinds are served in the version that reports are written in.
	// Status True.
	ReasonServed = "Served"
	// ReasonNotEstablished: a definition is there and not established yet.
	ReasonNotEstablished = "NotEstablished"
	// ReasonVersionNotServed: a definition that somebody else made does not serve that
	// version.
	ReasonVersionNotServed = "VersionNotServed"
)

// Reasons of AuditScheduled; ReasonSuspended and ReasonCertificatesNotReady are others.
const (
	// ReasonScheduled: scans start by the schedule. Status True.
	ReasonScheduled = "Scheduled"
	// ReasonDisabled: it is not wanted. ReportKindsServed and RecommendedPoliciesApplied
	// have it too, and MonitoringApplied.
	ReasonDisabled = "Disabled"
	// ReasonInvalidSchedule: spec.audit.schedule is not a schedule. The one before it stays
	// in force.
	ReasonInvalidSchedule = "InvalidSchedule"
	// ReasonReportKindsNotServed: ConditionReportKindsServed is not True.
	ReasonReportKindsNotServed = "ReportKindsNotServed"
)

// Reasons of RecommendedPoliciesApplied; ReasonDisabled and ReasonReconciliationFailed are
// others.
const (
	// ReasonApplied: all of them exist. Status True.
	ReasonApplied = "Applied"
	// ReasonForeignPolicies: policies that somebody else made have the names of some, and
	// are left alone.
	ReasonForeignPolicies = "ForeignPolicies"
	// ReasonReplacing: some are deleted first, since no policy goes from protect to monitor.
	ReasonReplacing = "Replacing"
)

// Reasons of MonitoringApplied; ReasonApplied, ReasonDisabled and ReasonReconciliationFailed
// are others.
const (
	// ReasonMonitoringKindsNotServed: the cluster does not have the kinds ServiceMonitor and
	// PrometheusRule.
	ReasonMonitoringKindsNotServed = "MonitoringKindsNotServed"
	// ReasonForeignObjects: objects that somebody else made have the names of some, and are
	// left alone.
	ReasonForeignObjects = "ForeignObjects"
)
