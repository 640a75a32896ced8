package metrics

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
)

var (
	lastAudit = prometheus.NewDesc("kubewarden_audit_last_success_timestamp_seconds",
		"When an audit was last complete, in Unix time. Absent before the first one, and while audits are disabled.", nil, nil)
	auditFailed = prometheus.NewDesc("kubewarden_audit_last_run_failed",
		"Whether the audit that ended last has failed. What is told of it is absent before the first one, and while audits are disabled.", nil, nil)
	auditDuration = prometheus.NewDesc("kubewarden_audit_last_run_duration_seconds",
		"How long the audit that ended last has taken.", nil, nil)
	auditObjects = prometheus.NewDesc("kubewarden_audit_last_run_objects",
		"Number of objects that the audit that ended last has looked at.", nil, nil)
	auditResults = prometheus.NewDesc("kubewarden_audit_last_run_results",
		"Number of results of the audit that ended last: pass, fail, error for a question without a verdict, or skip for one that it could not be known whether to put.", []string{"result"}, nil)
	auditKept = prometheus.NewDesc("kubewarden_audit_last_run_kept",
		"Number of results that the audit that ended last has taken from reports as they were, without asking.", nil, nil)
	auditSkipped = prometheus.NewDesc("kubewarden_audit_last_run_skipped",
		"Number of policies, and of parts of their rules, that the audit that ended last could not ask about, by reason.", []string{"reason"}, nil)
	auditUnasked = prometheus.NewDesc("kubewarden_audit_last_run_unasked",
		"Number of questions about an object that the audit that ended last has not put, by reason.", []string{"reason"}, nil)
	auditUnlisted = prometheus.NewDesc("kubewarden_audit_last_run_unlisted",
		"Number of resources that the audit that ended last could not list. Reports about them stay as they were.", nil, nil)
	auditReports = prometheus.NewDesc("kubewarden_audit_last_run_reports",
		"Number of reports by what the audit that ended last has done with them: written, unchanged, deleted.", []string{"action"}, nil)

	auditPart = part{
		name: "audit",
		descriptions: []*prometheus.Desc{
			lastAudit, auditFailed, auditDuration, auditObjects, auditResults, auditKept, auditSkipped, auditUnasked, auditUnlisted, auditReports,
		},
		collect: collectAudits,
	}
)

func collectAudits(ctx context.Context, config Config, metrics chan<- prometheus.Metric) error {
	var found operatorv1alpha1.KubewardenList
	if err := config.Reader.List(ctx, &found, shared); err != nil {
		return fmt.Errorf("list Kubewardens: %w", err)
	}
	for i := range found.Items {
		audit := found.Items[i].Status.Audit
		if audit == nil {
			continue
		}
		if audit.LastSuccessfulTime != nil {
			metrics <- gauge(lastAudit, float64(audit.LastSuccessfulTime.Unix()))
		}
		if audit.LastFinished != nil {
			collectFinished(audit.LastFinished, metrics)
		}
	}
	return nil
}

func collectFinished(run *operatorv1alpha1.AuditResult, metrics chan<- prometheus.Metric) {
	metrics <- gauge(auditFailed, truth(run.Outcome == operatorv1alpha1.AuditOutcomeFailed))
	if run.StartTime != nil && run.EndTime != nil {
		metrics <- gauge(auditDuration, run.EndTime.Sub(run.StartTime.Time).Seconds())
	}
	summary := run.Summary
	if summary == nil {
		return
	}
	metrics <- gauge(auditObjects, float64(summary.Objects))
	metrics <- gauge(auditKept, float64(summary.Kept))
	metrics <- gauge(auditUnlisted, float64(summary.UnlistedCount))
	for result, count := range map[string]int64{"pass": summary.Pass, "fail": summary.Fail, "error": summary.Error, "skip": summary.Skip} {
		metrics <- gauge(auditResults, float64(count), result)
	}
	for action, count := range map[string]int64{"written": summary.Written, "unchanged": summary.Unchanged, "deleted": summary.Deleted} {
		metrics <- gauge(auditReports, float64(count), action)
	}
	for reason, count := range summary.Skipped {
		metrics <- gauge(auditSkipped, float64(count), reason)
	}
	for reason, count := range summary.Unasked {
		metrics <- gauge(auditUnasked, float64(count), reason)
	}
}
