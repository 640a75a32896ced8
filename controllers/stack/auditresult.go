package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
)

// observeFinished asks for the termination message of a scan that has just ended. It is asked
// for once per scan and not watched: the Pod had ended before its Job could.
func (r *Reconciler) observeFinished(ctx context.Context, s *state) error {
	job := s.audit.unseen(s.kubewarden.Status.Audit)
	if job == nil {
		return nil
	}
	var pods corev1.PodList
	err := r.Uncached.List(ctx, &pods, client.InNamespace(r.Render.Namespace), client.MatchingLabels{batchv1.JobNameLabel: job.Name})
	if err != nil {
		return fmt.Errorf("list the Pods of Job %s: %w", job.Name, err)
	}
	s.audit.finished = &operatorv1alpha1.AuditResult{AuditRun: newRun(job), Summary: summaryOf(pods.Items)}
	return nil
}

// unseen is the Job that ended last, unless the status tells of it, or of a later one.
func (a *audit) unseen(status *operatorv1alpha1.AuditStatus) *batchv1.Job {
	var last *batchv1.Job
	for i := range a.jobs {
		job := &a.jobs[i]
		if newRun(job).Outcome != operatorv1alpha1.AuditOutcomeRunning && (last == nil || endOf(newRun(last)).Before(endOf(newRun(job)))) {
			last = job
		}
	}
	if last == nil || status == nil || status.LastFinished == nil {
		return last
	}
	if seen := status.LastFinished; seen.JobName == last.Name || endOf(newRun(last)).Before(endOf(seen.AuditRun)) {
		return nil
	}
	return last
}

// endOf is when a scan ended, as far as is known: that of a Job which was deleted is not.
func endOf(run operatorv1alpha1.AuditRun) time.Time {
	switch {
	case run.EndTime != nil:
		return run.EndTime.Time
	case run.StartTime != nil:
		return run.StartTime.Time
	default:
		return time.Time{}
	}
}

// summaryOf is what the last of a Job's Pods left; nil for nothing.
func summaryOf(pods []corev1.Pod) *operatorv1alpha1.AuditSummary {
	if len(pods) == 0 {
		return nil
	}
	last := slices.MaxFunc(pods, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	for _, container := range last.Status.ContainerStatuses {
		if ended := container.State.Terminated; ended != nil {
			return parseSummary(ended.Message)
		}
	}
	return nil
}

// Bounds of what is taken from a termination message. What a scanner writes stays below: the
// message may be that of an image of another version, or of something else.
const (
	maxReasons    = 32
	maxReasonName = 64
)

// parseSummary is nil when a message is no summary, or one that no status could hold.
func parseSummary(message string) *operatorv1alpha1.AuditSummary {
	summary := &operatorv1alpha1.AuditSummary{}
	if err := json.Unmarshal([]byte(message), summary); err != nil {
		return nil
	}
	if len(summary.Unlisted) > operatorv1alpha1.MaxAuditUnlisted || len(summary.Problem) > operatorv1alpha1.MaxAuditProblem {
		return nil
	}
	for _, reasons := range []map[string]int64{summary.Skipped, summary.Unasked} {
		if len(reasons) > maxReasons {
			return nil
		}
		for reason := range reasons {
			if len(reason) > maxReasonName {
				return nil
			}
		}
	}
	return summary
}

// setFinished keeps the scan that ended last, and says of one that failed what the scanner says.
func setFinished(s *state, status *operatorv1alpha1.AuditStatus) {
	if finished := s.audit.finished; finished != nil {
		if summary := finished.Summary; summary != nil && summary.Problem != "" && finished.Outcome == operatorv1alpha1.AuditOutcomeFailed {
			finished.Message = strings.TrimPrefix(finished.Message+": "+summary.Problem, ": ")
		}
		status.LastFinished = finished
	}
	if run := status.LastRun; run != nil && run.Outcome == operatorv1alpha1.AuditOutcomeFailed && slices.Contains(s.audit.lost, run.JobName) {
		status.LastFinished = &operatorv1alpha1.AuditResult{AuditRun: *run}
	}
}

// Reasons of Events about scans.
const (
	eventAuditFailed     = "AuditFailed"
	eventAuditIncomplete = "AuditIncomplete"
	eventAuditRecovered  = "AuditRecovered"
)

// auditEvents are what a change of the status is worth to tell of scans: each one that failed,
// one that left out something else than the one before, and the first that is whole again.
func auditEvents(before, after *operatorv1alpha1.KubewardenStatus) []happening {
	was, is := finishedIn(before), finishedIn(after)
	if is == nil || was != nil && was.JobName == is.JobName && was.Outcome == is.Outcome {
		return nil
	}
	job, missing := "the scan of Job "+is.JobName, missingFrom(is.Summary)
	switch {
	case is.Outcome == operatorv1alpha1.AuditOutcomeFailed:
		return []happening{{corev1.EventTypeWarning, eventAuditFailed, job + " failed: " + is.Message}}
	case missing != "" && (was == nil || was.Outcome == operatorv1alpha1.AuditOutcomeFailed || missingFrom(was.Summary) != missing):
		return []happening{{corev1.EventTypeWarning, eventAuditIncomplete, job + " left something out: " + missing}}
	case missing == "" && was != nil && (was.Outcome == operatorv1alpha1.AuditOutcomeFailed || missingFrom(was.Summary) != ""):
		return []happening{{corev1.EventTypeNormal, eventAuditRecovered, job + " is complete and left nothing out, other than the one before"}}
	default:
		return nil
	}
}

func finishedIn(status *operatorv1alpha1.KubewardenStatus) *operatorv1alpha1.AuditResult {
	if status.Audit == nil {
		return nil
	}
	return status.Audit.LastFinished
}

// missingFrom says what a scan could not find out; empty when it found out everything.
func missingFrom(summary *operatorv1alpha1.AuditSummary) string {
	if summary == nil {
		return ""
	}
	var parts []string
	if summary.Error > 0 {
		parts = append(parts, fmt.Sprintf("questions without a verdict (%d)", summary.Error))
	}
	if summary.Skip > 0 {
		parts = append(parts, fmt.Sprintf("questions of which it is not known whether to put them (%d)", summary.Skip))
	}
	if summary.UnlistedCount > 0 {
		parts = append(parts, fmt.Sprintf("resources that cannot be listed (%d): %s", summary.UnlistedCount, strings.Join(summary.Unlisted, ", ")))
	}
	if summary.Shortened > 0 {
		parts = append(parts, fmt.Sprintf("parts of reports that would be too large (%d)", summary.Shortened))
	}
	return strings.Join(parts, "; ")
}
