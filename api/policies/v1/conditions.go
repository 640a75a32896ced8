package v1

// ConditionReady sums an object up: True when everything that its spec asks for is in
// force. Every kind of this project has it; upstream's kinds do not.
const ConditionReady = "Ready"

// Conditions of a PolicyServer; all are upstream's (policyserver_types.go).
const (
	ConditionCertSecretReconciled          = "CertSecretReconciled"
	ConditionConfigMapReconciled           = "ConfigMapReconciled"
	ConditionPodDisruptionBudgetReconciled = "PodDisruptionBudgetReconciled"
	ConditionDeploymentReconciled          = "DeploymentReconciled"
	// ConditionServiceReconciled is set after the four above: True means that all
	// children are in place.
	ConditionServiceReconciled = "ServiceReconciled"
	// ConditionPolicyWebhooksCleanedUp exists only while a PolicyServer is deleted. It is
	// False until no webhook points at the server any more.
	ConditionPolicyWebhooksCleanedUp = "PolicyWebhooksCleanedUp"
)

// Conditions of a policy; all are upstream's (policy.go).
const (
	// ConditionPolicyActive is True when the policy is enforced: its webhook exists and
	// every ready replica serves it.
	ConditionPolicyActive = "PolicyActive"
	// ConditionPolicyUniquelyReachable is True when every replica that can be reached
	// serves the wanted revision of the policy, and none an older one.
	ConditionPolicyUniquelyReachable = "PolicyUniquelyReachable"
	// ConditionPolicyServerConfigurationUpToDate is True when the configuration of the
	// policy server holds the policy as its spec says.
	ConditionPolicyServerConfigurationUpToDate = "PolicyServerConfigurationUpToDate"
)

// ConditionContextReadable is on a policy that declares contextAwareResources, and on no
// other; upstream has nothing like it. It is True when the ServiceAccount of the policy
// server may read them all, and no replica has told that it cannot.
const ConditionContextReadable = "ContextReadable"

// Reasons of ContextReadable.
const (
	// ReasonRightsSuffice: the account may read everything that is declared. Status True.
	ReasonRightsSuffice = "RightsSuffice"
	// ReasonMissingRights: the account may not; the message spells out the missing rule.
	ReasonMissingRights = "MissingRights"
	// ReasonKindNotServed: the API server knows no kind of that name.
	ReasonKindNotServed = "KindNotServed"
	// ReasonNoRoomForObjects: a replica's memory has no room for the objects of a kind; the
	// message has what they need and what is allowed.
	ReasonNoRoomForObjects = "NoRoomForObjects"
	// ReasonKindUnreadable: a replica cannot read a kind, for a reason of its own.
	ReasonKindUnreadable = "KindUnreadable"
	// ReasonRightsUnknown: the API server has not given an answer that can be relied on
	// yet. Status Unknown.
	ReasonRightsUnknown = "RightsUnknown"
)

// Reasons of the conditions that upstream has too; the words are upstream's.
const (
	ReasonReconciliationSucceeded              = "ReconciliationSucceeded"
	ReasonReconciliationFailed                 = "ReconciliationFailed"
	ReasonPolicyActive                         = "PolicyActive"
	ReasonLatestReplicaSetIsUniquelyReachable  = "LatestReplicaSetIsUniquelyReachable"
	ReasonLatestReplicaSetNotUniquelyReachable = "LatestReplicaSetIsNotUniquelyReachable"
	ReasonConfigurationVersionMatch            = "ConfigurationVersionMatch"
	ReasonConfigurationVersionMismatch         = "ConfigurationVersionMismatch"
	ReasonUnknownConfigurationVersion          = "UnknownConfigurationVersion"
)

// Reasons that both a PolicyServer and a policy can have for not being Ready.
const (
	// ReasonNoInstallation: there is no Kubewarden object, so nothing is enforced.
	ReasonNoInstallation = "NoInstallation"
	// ReasonSuspended: the Kubewarden object says enforcement: Suspended.
	ReasonSuspended = "Suspended"
	// ReasonInvalidSpec: the spec breaks a rule that the CRD cannot express.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonDeleting: the object is being deleted.
	ReasonDeleting = "Deleting"
)

// Reasons of Ready on a PolicyServer.
const (
	// ReasonServing: all wanted replicas are ready and serve every policy. Status True.
	ReasonServing = "Serving"
	// ReasonScaledToZero: spec.replicas is 0.
	ReasonScaledToZero = "ScaledToZero"
	// ReasonUnresolvedReference: something that the spec names is not there, or not as it
	// must be; the message says what.
	ReasonUnresolvedReference = "UnresolvedReference"
	// ReasonWaitingForCertificate: the serving certificate is not issued yet.
	ReasonWaitingForCertificate = "WaitingForCertificate"
	// ReasonWaitingForReplicas: fewer replicas are ready than wanted.
	ReasonWaitingForReplicas = "WaitingForReplicas"
	// ReasonReplicasFailing: fewer replicas are ready than wanted, and Kubernetes cannot make
	// them or has waited for them in vain.
	ReasonReplicasFailing = "ReplicasFailing"
	// ReasonPoliciesFailed: the replicas are ready, and at least one policy is not served
	// as its spec says.
	ReasonPoliciesFailed = "PoliciesFailed"
)

// Reasons of Ready on a policy. A failure to load has the reason that the replicas
// report instead, such as FetchFailed, InvalidModule or InvalidSettings.
const (
	// ReasonEnforced: every ready replica serves the wanted revision, and the webhook
	// exists. Status True, in protect and in monitor mode.
	ReasonEnforced = "Enforced"
	// ReasonReportedByRollout: as ReasonEnforced, but known from the roll-out of the
	// Deployment alone, since the image of the policy server does not report. Status True.
	ReasonReportedByRollout = "ReportedByRollout"
	// ReasonPolicyServerNotFound: there is no PolicyServer of that name.
	ReasonPolicyServerNotFound = "PolicyServerNotFound"
	// ReasonPolicyServerDeleting: the PolicyServer is being deleted.
	ReasonPolicyServerDeleting = "PolicyServerDeleting"
	// ReasonPolicyServerScaledToZero: the PolicyServer wants no replicas.
	ReasonPolicyServerScaledToZero = "PolicyServerScaledToZero"
	// ReasonPolicyServerNotReady: the PolicyServer has no ready replica yet.
	ReasonPolicyServerNotReady = "PolicyServerNotReady"
	// ReasonPolicyTooLarge: the policy takes more of its server's configuration than any
	// policy may; what was configured of it before stays.
	ReasonPolicyTooLarge = "PolicyTooLarge"
	// ReasonPolicyServerFull: the configuration of the PolicyServer has no room for the
	// policy; what was configured of it before stays if there is room for that.
	ReasonPolicyServerFull = "PolicyServerFull"
	// ReasonLoading: some ready replica does not serve the wanted revision yet.
	ReasonLoading = "Loading"
	// ReasonWebhookFailed: the webhook configuration could not be written.
	ReasonWebhookFailed = "WebhookFailed"
)
