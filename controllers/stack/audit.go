package stack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/apply"
	"github.com/kubewarden/kubewarden-operator/controllers/certs"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// Rights on the CronJob of the audit scanner and on its Jobs; and on the bindings of the
// scanner's account, whose names are fixed, to roles that come with the operator and with
// Kubernetes.
//
// +kubebuilder:rbac:groups=batch,namespace=kubewarden,resources=cronjobs,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=batch,namespace=kubewarden,resources=jobs,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterrolebindings,verbs=list;watch
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterrolebindings,resourceNames=kubewarden-audit-scanner;kubewarden-audit-scanner-view,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterroles,resourceNames=kubewarden-audit-scanner;view,verbs=bind

// audit is what is known of the audit scanner.
type audit struct {
	// cronJob is the live one; nil when there is none.
	cronJob *batchv1.CronJob
	// jobs are its Jobs.
	jobs []batchv1.Job
	// lost are Jobs that were running when last looked at, and are gone.
	lost []string
	// finished is the scan that ended last, while the status does not tell of it.
	finished *operatorv1alpha1.AuditResult

	// published says that there is an authority that the scanner can trust.
	published bool
	// invalidSchedule is what the API server says of the schedule; empty when it takes it.
	invalidSchedule string
	// started is a scan that was asked for and has just been started.
	started *operatorv1alpha1.AuditRequest
	// synced says that an attempt was made to write all of it, and failed holds what came
	// of it.
	synced bool
	failed error
}

// audits says whether audits are wanted.
func (s *state) audits() bool {
	enabled := s.kubewarden.Spec.Audit.Enabled
	return s.kubewarden.DeletionTimestamp.IsZero() && (enabled == nil || *enabled)
}

// observeAudit reads the CronJob and its Jobs.
func (r *Reconciler) observeAudit(ctx context.Context, s *state) error {
	cronJob := &batchv1.CronJob{}
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: r.Render.Namespace, Name: render.AuditScannerName}, cronJob)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("get CronJob %s: %w", render.AuditScannerName, err)
	}
	if err == nil {
		s.audit.cronJob = cronJob
	}
	var jobs batchv1.JobList
	labels := client.MatchingLabels(render.AuditScannerLabels(s.kubewarden.Name))
	if err := r.Client.List(ctx, &jobs, client.InNamespace(r.Render.Namespace), labels); err != nil {
		return fmt.Errorf("list Jobs: %w", err)
	}
	s.audit.jobs = jobs.Items
	for _, name := range runningJobs(s.kubewarden.Status.Audit) {
		if err := r.observeJob(ctx, s, name); err != nil {
			return err
		}
	}
	return r.observeFinished(ctx, s)
}

// observeJob looks for a Job that is said to run. The cache may not have it yet; the API
// server knows whether it is gone.
func (r *Reconciler) observeJob(ctx context.Context, s *state, name string) error {
	if s.audit.job(name) != nil {
		return nil
	}
	job := &batchv1.Job{}
	err := r.Uncached.Get(ctx, client.ObjectKey{Namespace: r.Render.Namespace, Name: name}, job)
	switch {
	case apierrors.IsNotFound(err):
		s.audit.lost = append(s.audit.lost, name)
	case err != nil:
		return fmt.Errorf("get Job %s: %w", name, err)
	default:
		s.audit.jobs = append(s.audit.jobs, *job)
	}
	return nil
}

// job returns one of the Jobs, or nil.
func (a *audit) job(name string) *batchv1.Job {
	for i := range a.jobs {
		if a.jobs[i].Name == name {
			return &a.jobs[i]
		}
	}
	return nil
}

// syncAudit makes the audit scanner, or removes it when audits are disabled.
func (r *Reconciler) syncAudit(ctx context.Context, s *state) error {
	s.audit.synced = true
	if s.audits() {
		s.audit.failed = r.applyAudit(ctx, s)
	} else {
		s.audit.failed = r.pruneAudit(ctx, s)
	}
	return s.audit.failed
}

func (r *Reconciler) applyAudit(ctx context.Context, s *state) error {
	if err := r.syncReportKinds(ctx, s); err != nil {
		return err
	}
	bundle, err := r.Certificates.CABundle(ctx)
	if errors.Is(err, certs.ErrNotPublished) {
		return nil
	}
	if err != nil {
		return err
	}
	s.audit.published = true
	in := render.AuditScannerInput{
		Config:       r.Render,
		Installation: render.NewInstallation(s.kubewarden),
		Audit:        s.kubewarden.Spec.Audit,
		CABundle:     bundle,
		Suspended:    s.auditHeld() != "",
	}
	objects := render.AuditScanner(in)
	var failures []error
	for _, object := range objects {
		err := r.Applier.Apply(ctx, s.kubewarden, object)
		if message, refused := refusedSchedule(err); refused {
			s.audit.invalidSchedule = message
			continue
		}
		failures = append(failures, err)
	}
	return errors.Join(errors.Join(failures...), r.pruneAudit(ctx, s, objects...), r.startRequested(ctx, s, in))
}

// auditHeld says what keeps scans from starting; empty when nothing does. While no policy
// is enforced a scan would find that none has anything to say, and remove all reports.
func (s *state) auditHeld() string {
	if s.kubewarden.Spec.Enforcement == operatorv1alpha1.EnforcementSuspended {
		return "spec.enforcement is Suspended"
	}
	for _, kind := range s.reportKinds {
		if message, reason := kind.trouble(); reason != "" {
			return message
		}
	}
	return ""
}

// refusedSchedule finds in an error that the API server takes the schedule for none; what
// a schedule is, only the controller of CronJobs can say.
func refusedSchedule(err error) (message string, refused bool) {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || !apierrors.IsInvalid(status) || status.ErrStatus.Details == nil {
		return "", false
	}
	for _, cause := range status.ErrStatus.Details.Causes {
		if cause.Field == "spec.schedule" {
			return cause.Message, true
		}
	}
	return "", false
}

// pruneAudit removes what is not to be kept of the audit scanner. Jobs go with their
// CronJob.
func (r *Reconciler) pruneAudit(ctx context.Context, s *state, keep ...render.Object) error {
	scope := apply.Scope{
		Owner:     s.kubewarden,
		Namespace: r.Render.Namespace,
		Labels:    render.AuditScannerLabels(s.kubewarden.Name),
		Kinds:     render.AuditScannerKinds(),
	}
	err := r.Applier.Prune(ctx, scope, keep...)
	scope.Namespace, scope.Kinds = "", render.AuditScannerClusterKinds()
	return errors.Join(err, r.Applier.Prune(ctx, scope, keep...))
}

// startRequested starts the scan that was asked for by annotation, once per value. It
// waits until scans can start and none runs. The name of the Job follows from the request
// and the one before it, so that a reconcile that is repeated finds the Job it made.
func (r *Reconciler) startRequested(ctx context.Context, s *state, in render.AuditScannerInput) error {
	value, wanted := s.requested()
	if !wanted || s.requestWaitsFor() != "" {
		return nil
	}
	name := requestedJobName(s.kubewarden, value)
	job := &batchv1.Job{}
	err := r.Uncached.Get(ctx, client.ObjectKey{Namespace: r.Render.Namespace, Name: name}, job)
	if apierrors.IsNotFound(err) {
		err = r.Applier.Apply(ctx, s.audit.cronJob, render.AuditJob(in, name))
	}
	if err != nil {
		return fmt.Errorf("start the scan that was asked for: %w", err)
	}
	s.audit.started = &operatorv1alpha1.AuditRequest{
		Value:    value,
		AuditRun: operatorv1alpha1.AuditRun{JobName: name, Outcome: operatorv1alpha1.AuditOutcomeRunning},
	}
	return nil
}

// requested is the value of the annotation, shortened, and whether it asks for a scan that
// has not been started.
func (s *state) requested() (value string, wanted bool) {
	value = shortened(s.kubewarden.Annotations[operatorv1alpha1.AnnotationAuditNow])
	last := s.kubewarden.Status.Audit
	return value, value != "" && (last == nil || last.LastRequest == nil || last.LastRequest.Value != value)
}

// requestWaitsFor says what a scan that was asked for waits for; empty for nothing.
func (s *state) requestWaitsFor() string {
	if held := s.auditHeld(); held != "" {
		return held
	}
	if s.audit.cronJob == nil {
		return "the CronJob"
	}
	for i := range s.audit.jobs {
		if run := newRun(&s.audit.jobs[i]); run.Outcome == operatorv1alpha1.AuditOutcomeRunning {
			return "the scan that runs, Job " + run.JobName
		}
	}
	return ""
}

// maxRequest is how much of the annotation's value a status shows, in bytes.
const maxRequest = 64

// shortened makes a value of any length one that a status can hold. Values that differ
// stay different.
func shortened(value string) string {
	if len(value) <= maxRequest {
		return value
	}
	sum := sha256.Sum256([]byte(value))
	return strings.ToValidUTF8(value[:maxRequest/2], "") + "..." + hex.EncodeToString(sum[:6])
}

func requestedJobName(kubewarden *operatorv1alpha1.Kubewarden, value string) string {
	before := ""
	if status := kubewarden.Status.Audit; status != nil && status.LastRequest != nil {
		before = status.LastRequest.JobName
	}
	sum := sha256.Sum256([]byte(string(kubewarden.UID) + "\x00" + before + "\x00" + value))
	return render.AuditScannerName + "-now-" + hex.EncodeToString(sum[:5])
}

// newRun is a scan as its Job tells of it.
func newRun(job *batchv1.Job) operatorv1alpha1.AuditRun {
	run := operatorv1alpha1.AuditRun{
		JobName: job.Name, Outcome: operatorv1alpha1.AuditOutcomeRunning, StartTime: job.Status.StartTime,
	}
	for _, condition := range job.Status.Conditions {
		if condition.Status != corev1.ConditionTrue {
			continue
		}
		// The others come before the end.
		if condition.Type == batchv1.JobComplete {
			run.Outcome = operatorv1alpha1.AuditOutcomeComplete
			run.EndTime = new(condition.LastTransitionTime)
		}
		if condition.Type == batchv1.JobFailed {
			run.Outcome, run.Message = operatorv1alpha1.AuditOutcomeFailed, condition.Message
			run.EndTime = new(condition.LastTransitionTime)
		}
	}
	return run
}
