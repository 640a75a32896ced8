package stack

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/resource"
)

// runningJobs are the Jobs that a status tells of as running.
func runningJobs(status *operatorv1alpha1.AuditStatus) []string {
	if status == nil {
		return nil
	}
	var names []string
	if run := status.LastRun; run != nil && run.Outcome == operatorv1alpha1.AuditOutcomeRunning {
		names = append(names, run.JobName)
	}
	if request := status.LastRequest; request != nil && request.Outcome == operatorv1alpha1.AuditOutcomeRunning {
		names = append(names, request.JobName)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// setAudit tells of the scans. What went before is kept until something newer is known.
func setAudit(s *state) {
	if !s.audits() {
		s.kubewarden.Status.Audit = nil
		setAuditDisabled(s)
		return
	}
	if !s.audit.synced {
		return
	}
	if s.kubewarden.Status.Audit == nil {
		s.kubewarden.Status.Audit = &operatorv1alpha1.AuditStatus{}
	}
	status := s.kubewarden.Status.Audit
	setRuns(s, status)
	setFinished(s, status)
	status.Schedule = ""
	if cronJob := s.audit.cronJob; cronJob != nil && (cronJob.Spec.Suspend == nil || !*cronJob.Spec.Suspend) {
		status.Schedule = cronJob.Spec.Schedule
	}
	setReportKindsServed(s)
	setAuditScheduled(s)
}

// setAuditDisabled says that nothing is audited, unless the installation goes altogether.
func setAuditDisabled(s *state) {
	for _, conditionType := range []string{operatorv1alpha1.ConditionReportKindsServed, operatorv1alpha1.ConditionAuditScheduled} {
		if !s.kubewarden.DeletionTimestamp.IsZero() {
			apimeta.RemoveStatusCondition(&s.kubewarden.Status.Conditions, conditionType)
			continue
		}
		s.setCondition(metav1.Condition{
			Type: conditionType, Status: metav1.ConditionFalse, Reason: operatorv1alpha1.ReasonDisabled,
			Message: "spec.audit.enabled is false; reports that there are stay",
		})
	}
}

// setRuns brings the runs in the status up to date.
func setRuns(s *state, status *operatorv1alpha1.AuditStatus) {
	if request := s.audit.started; request != nil {
		status.LastRequest = request
	}
	if request := status.LastRequest; request != nil {
		s.audit.renew(&request.AuditRun)
	}
	if newest := s.audit.newest(); newest != nil {
		run := newRun(newest)
		status.LastRun = &run
	} else if status.LastRun != nil {
		s.audit.renew(status.LastRun)
	}
	for i := range s.audit.jobs {
		run := newRun(&s.audit.jobs[i])
		if run.Outcome == operatorv1alpha1.AuditOutcomeComplete &&
			(status.LastSuccessfulTime == nil || status.LastSuccessfulTime.Before(run.EndTime)) {
			status.LastSuccessfulTime = run.EndTime
		}
	}
}

// renew tells of a run what its Job says now.
func (a *audit) renew(run *operatorv1alpha1.AuditRun) {
	if job := a.job(run.JobName); job != nil {
		*run = newRun(job)
		return
	}
	if run.Outcome == operatorv1alpha1.AuditOutcomeRunning && slices.Contains(a.lost, run.JobName) {
		run.Outcome, run.Message = operatorv1alpha1.AuditOutcomeFailed, "the Job was deleted before it ended"
	}
}

// newest is the Job that was made last, or nil when there is none.
func (a *audit) newest() *batchv1.Job {
	if len(a.jobs) == 0 {
		return nil
	}
	newest := slices.MaxFunc(a.jobs, func(a, b batchv1.Job) int {
		if order := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); order != 0 {
			return order
		}
		return slices.Compare([]byte(a.Name), []byte(b.Name))
	})
	return &newest
}

// setAuditScheduled asks in the order in which one thing hides the next; the first answer
// counts.
func setAuditScheduled(s *state) {
	condition := metav1.Condition{Type: operatorv1alpha1.ConditionAuditScheduled, Status: metav1.ConditionFalse}
	switch held := s.auditHeld(); {
	case s.kubewarden.Spec.Enforcement == operatorv1alpha1.EnforcementSuspended:
		condition.Reason, condition.Message = operatorv1alpha1.ReasonSuspended, held+": no scan starts, and reports stay as they are"
	case s.audit.failed != nil:
		condition.Reason, condition.Message = operatorv1alpha1.ReasonReconciliationFailed, resource.Text(s.audit.failed)
	case held != "":
		condition.Reason, condition.Message = operatorv1alpha1.ReasonReportKindsNotServed, held
	case !s.audit.published:
		condition.Reason, condition.Message = operatorv1alpha1.ReasonCertificatesNotReady, "there is no certificate authority yet that a scan could trust"
	case s.audit.invalidSchedule != "":
		condition.Reason, condition.Message = operatorv1alpha1.ReasonInvalidSchedule, "spec.audit.schedule: "+s.audit.invalidSchedule
		if s.audit.cronJob != nil {
			condition.Message += fmt.Sprintf("; the schedule before it, %q, stays in force", s.audit.cronJob.Spec.Schedule)
		}
	default:
		condition.Status, condition.Reason, condition.Message = metav1.ConditionTrue, operatorv1alpha1.ReasonScheduled, s.scansInWords()
	}
	s.setCondition(condition)
}

// scansInWords sums up the scans.
func (s *state) scansInWords() string {
	words := fmt.Sprintf("scans start by the schedule %q", s.kubewarden.Spec.Audit.Schedule)
	if run := s.kubewarden.Status.Audit.LastRun; run != nil && run.Outcome == operatorv1alpha1.AuditOutcomeFailed {
		message := run.Message
		if finished := s.kubewarden.Status.Audit.LastFinished; finished != nil && finished.JobName == run.JobName {
			message = finished.Message
		}
		words += fmt.Sprintf("; the last one, Job %s, failed: %s", run.JobName, message)
	}
	if _, wanted := s.requested(); wanted && s.audit.started == nil {
		words += "; one that was asked for waits for " + s.requestWaitsFor()
	}
	return words
}
