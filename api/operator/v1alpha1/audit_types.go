package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AnnotationAuditNow on a Kubewarden asks for a scan outside of the schedule, one per
// value. The value is any string, usually a time; an empty one asks for nothing.
const AnnotationAuditNow = "kubewarden.io/audit-now"

// Audit says how what exists already is held against the policies: a CronJob lists it,
// asks the policy servers about it, and writes a report about each object. Names and
// defaults are those of upstream's Helm values (auditScanner).
type Audit struct {
	// Enabled has scans run. With false the CronJob goes; reports stay.
	// +optional
	// +kubebuilder:default=true
	Enabled *bool `json:"enabled,omitempty"`

	// Schedule is when scans start, in the format of a CronJob: five fields, or a word such
	// as @daily. A scan that is due while another runs is left out.
	// +optional
	// +kubebuilder:default="0 * * * *"
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|@every [0-9a-z.]+|[^ @=]+( +[^ =]+){4})$`
	Schedule string `json:"schedule,omitempty"`

	// ReportKind is the API that reports are written as: policyreport is PolicyReport and
	// ClusterPolicyReport of wgpolicyk8s.io, openreports is Report and ClusterReport of
	// openreports.io. The operator creates their definitions where they are missing.
	// +optional
	// +kubebuilder:default=policyreport
	ReportKind AuditReportKind `json:"reportKind,omitempty"`

	// SkipNamespaces are namespaces that are not scanned, beside spec.exemptNamespaces and
	// the namespace of the operator.
	// +optional
	// +kubebuilder:validation:MaxItems=512
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +listType=set
	SkipNamespaces []string `json:"skipNamespaces,omitempty"`

	// Operations are what is simulated on each object that exists, and asked the policies
	// whose rules name it: CREATE, as if it were created now; UPDATE, as if it were stored
	// again as it is; DELETE, as if it were deleted. Results of UPDATE and DELETE stand beside
	// those of CREATE, with the operation as their rule.
	// +optional
	// +kubebuilder:default={CREATE}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=3
	// +listType=set
	Operations []AuditOperation `json:"operations,omitempty"`

	// DisableStore has reports be neither written nor deleted.
	// +optional
	DisableStore bool `json:"disableStore,omitempty"`

	// OutputScan has the scanner log every report as JSON.
	// +optional
	OutputScan bool `json:"outputScan,omitempty"`

	// LogLevel is how much the scanner logs.
	// +optional
	// +kubebuilder:default=info
	LogLevel AuditLogLevel `json:"logLevel,omitempty"`

	// ParallelNamespaces is how many namespaces are scanned at once.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	ParallelNamespaces int32 `json:"parallelNamespaces,omitempty"`

	// ParallelResources is how many objects of a namespace are audited at once.
	// +optional
	// +kubebuilder:default=100
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	ParallelResources int32 `json:"parallelResources,omitempty"`

	// ParallelPolicies is how many policies are asked at once about one object.
	// +optional
	// +kubebuilder:default=5
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	ParallelPolicies int32 `json:"parallelPolicies,omitempty"`

	// PageSize is how many objects are listed at once.
	// +optional
	// +kubebuilder:default=100
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	PageSize int32 `json:"pageSize,omitempty"`

	// ActiveDeadlineSeconds is how long a scan may take, in seconds; one that takes longer is
	// ended and has failed, and what it has written stays.
	// +optional
	// +kubebuilder:default=43200
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=604800
	ActiveDeadlineSeconds int64 `json:"activeDeadlineSeconds,omitempty"`

	// StartingDeadlineSeconds is how late a scan may start, in seconds; one that could not
	// start until then is left out.
	// +optional
	// +kubebuilder:default=600
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=604800
	StartingDeadlineSeconds int64 `json:"startingDeadlineSeconds,omitempty"`

	// SuccessfulJobsHistoryLimit is how many Jobs of complete scans are kept.
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	SuccessfulJobsHistoryLimit *int32 `json:"successfulJobsHistoryLimit,omitempty"`

	// FailedJobsHistoryLimit is how many Jobs of failed scans are kept.
	// +optional
	// +kubebuilder:default=5
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	FailedJobsHistoryLimit *int32 `json:"failedJobsHistoryLimit,omitempty"`

	// ServiceAccountName is an account in the namespace of the operator that scans run as.
	// What it may read is the user's to grant. Left out, scans run as an account of their
	// own, which may read what the role view may.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// Limits are the most that a scan may use. Defaults to 500m of CPU and 1Gi of memory.
	// +optional
	Limits corev1.ResourceList `json:"limits,omitempty"`

	// Requests are what a scan is sure to get. Defaults to 250m of CPU and 300Mi of memory,
	// unless limits are set.
	// +optional
	Requests corev1.ResourceList `json:"requests,omitempty"`

	// NodeSelector limits the nodes that scans run on.
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// Affinity limits the nodes that scans run on.
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`

	// Tolerations let scans run on tainted nodes.
	// +optional
	// +listType=atomic
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// PriorityClassName is the priority class of the Pods.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	PriorityClassName string `json:"priorityClassName,omitempty"`
}

// AuditOperation is an operation on objects that a scan simulates.
// +kubebuilder:validation:Enum=CREATE;UPDATE;DELETE
type AuditOperation string

// The operations that a scan can simulate.
const (
	AuditOperationCreate AuditOperation = "CREATE"
	AuditOperationUpdate AuditOperation = "UPDATE"
	AuditOperationDelete AuditOperation = "DELETE"
)

// AuditReportKind is the API that reports are written as; the words are upstream's.
// +kubebuilder:validation:Enum=policyreport;openreports
type AuditReportKind string

// The kinds of reports.
const (
	// AuditReportKindPolicyReport is wgpolicyk8s.io/v1alpha2.
	AuditReportKindPolicyReport AuditReportKind = "policyreport"
	// AuditReportKindOpenReports is openreports.io/v1alpha1.
	AuditReportKindOpenReports AuditReportKind = "openreports"
)

// AuditLogLevel is how much the scanner logs; the words are upstream's.
// +kubebuilder:validation:Enum=debug;info;warning;error
type AuditLogLevel string

// AuditStatus is what became of the audits.
type AuditStatus struct {
	// Schedule is the schedule in force; empty while no scan can start.
	// +optional
	Schedule string `json:"schedule,omitempty"`

	// LastSuccessfulTime is when a scan was last complete.
	// +optional
	LastSuccessfulTime *metav1.Time `json:"lastSuccessfulTime,omitempty"`

	// LastRun is the scan that started last.
	// +optional
	LastRun *AuditRun `json:"lastRun,omitempty"`

	// LastFinished is the scan that ended last, and what it found. It outlives the Job.
	// +optional
	LastFinished *AuditResult `json:"lastFinished,omitempty"`

	// LastRequest is the last scan that was asked for by annotation and started.
	// +optional
	LastRequest *AuditRequest `json:"lastRequest,omitempty"`
}

// AuditRun is one scan.
type AuditRun struct {
	// JobName is the Job in the namespace of the operator.
	JobName string `json:"jobName"`

	// Outcome is Running, Complete or Failed. A scan that had to leave something out has
	// failed; the log of its Pod says what.
	Outcome AuditOutcome `json:"outcome"`

	// Message says why it failed, as far as the Job tells.
	// +optional
	Message string `json:"message,omitempty"`

	// StartTime is when it started.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`

	// EndTime is when it ended.
	// +optional
	EndTime *metav1.Time `json:"endTime,omitempty"`
}

// AuditRequest is a scan that was asked for.
type AuditRequest struct {
	// Value is the value of the annotation. A long one is shortened.
	Value string `json:"value"`

	AuditRun `json:",inline"`
}

// AuditResult is a scan that has ended.
type AuditResult struct {
	AuditRun `json:",inline"`

	// Summary is what the scanner itself tells. It is absent when the scanner could tell
	// nothing, as one that ran out of memory.
	// +optional
	Summary *AuditSummary `json:"summary,omitempty"`
}

// AuditSummary is what a scan did and left out. The scanner leaves it in JSON as the
// termination message of its container, which holds 4096 bytes.
type AuditSummary struct {
	// Objects is how many objects were looked at.
	Objects int64 `json:"objects"`

	// Pass, Fail and Error count the results. An error is a question without a verdict: the
	// policy server did not answer, or the policy could not be evaluated.
	Pass  int64 `json:"pass"`
	Fail  int64 `json:"fail"`
	Error int64 `json:"error"`

	// Skip counts the results that say why a policy was not asked: it cannot be found out
	// whether it would be.
	// +optional
	Skip int64 `json:"skip,omitempty"`

	// Kept is how many of the results were taken from reports as they were, without asking:
	// nothing of what they followed from has changed.
	// +optional
	Kept int64 `json:"kept,omitempty"`

	// Skipped counts the policies, and parts of their rules, that are not audited, by reason.
	// +optional
	Skipped map[string]int64 `json:"skipped,omitempty"`

	// Unasked counts the questions that are not put about an object, by reason.
	// +optional
	Unasked map[string]int64 `json:"unasked,omitempty"`

	// Unlisted are the first of the resources that could not be listed, in the cluster or in
	// some namespace. Reports about them stay as they were.
	// +optional
	// +kubebuilder:validation:MaxItems=10
	// +listType=atomic
	Unlisted []string `json:"unlisted,omitempty"`

	// UnlistedCount is how many resources could not be listed.
	// +optional
	UnlistedCount int64 `json:"unlistedCount,omitempty"`

	// Written and Deleted count reports: those that were new or said something else, and
	// those that nothing stood behind any more. Unchanged ones were left alone.
	Written   int64 `json:"written"`
	Unchanged int64 `json:"unchanged"`
	Deleted   int64 `json:"deleted"`

	// Shortened counts the reports that lack something which would have made them too large.
	// +optional
	Shortened int64 `json:"shortened,omitempty"`

	// Problem is what kept the scan from being complete, shortened; empty when nothing did.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Problem string `json:"problem,omitempty"`
}

// MaxAuditUnlisted is how many resources that could not be listed an AuditSummary names, and
// MaxAuditProblem how long its Problem is, in bytes.
const (
	MaxAuditUnlisted = 10
	MaxAuditProblem  = 1024
)

// AuditOutcome says how a scan ended.
// +kubebuilder:validation:Enum=Running;Complete;Failed
type AuditOutcome string

// The outcomes of scans.
const (
	AuditOutcomeRunning  AuditOutcome = "Running"
	AuditOutcomeComplete AuditOutcome = "Complete"
	AuditOutcomeFailed   AuditOutcome = "Failed"
)
