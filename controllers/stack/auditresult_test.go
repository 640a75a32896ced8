package stack

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
)

func TestTheScanThatEndedLastIsLookedAtOnce(t *testing.T) {
	seen := func(job batchv1.Job) *operatorv1alpha1.AuditStatus {
		return &operatorv1alpha1.AuditStatus{LastFinished: &operatorv1alpha1.AuditResult{AuditRun: newRun(&job)}}
	}
	first, second, running := job("a", 1, batchv1.JobComplete), job("b", 2, batchv1.JobFailed), job("c", 3)
	tests := map[string]struct {
		jobs   []batchv1.Job
		status *operatorv1alpha1.AuditStatus
		want   string
	}{
		"none":                      {},
		"one that runs has not":     {jobs: []batchv1.Job{running}},
		"the last":                  {jobs: []batchv1.Job{running, second, first}, want: "b"},
		"a later one":               {jobs: []batchv1.Job{first, second}, status: seen(first), want: "b"},
		"it is told of":             {jobs: []batchv1.Job{first, second}, status: seen(second)},
		"a later one is told of":    {jobs: []batchv1.Job{first}, status: seen(second)},
		"nothing is told of so far": {jobs: []batchv1.Job{first}, status: &operatorv1alpha1.AuditStatus{}, want: "a"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := ""
			if unseen := (&audit{jobs: tc.jobs}).unseen(tc.status); unseen != nil {
				got = unseen.Name
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestSummariesAreReadFromTheLastPod(t *testing.T) {
	pod := func(minute int, message string) corev1.Pod {
		pod := corev1.Pod{}
		pod.CreationTimestamp = *newRun(new(job("", minute))).StartTime
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
			State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: message}},
		}}
		return pod
	}
	tests := map[string]struct {
		pods []corev1.Pod
		want *operatorv1alpha1.AuditSummary
	}{
		"no Pod":         {},
		"the last":       {[]corev1.Pod{pod(2, `{"objects":2}`), pod(1, `{"objects":1}`)}, &operatorv1alpha1.AuditSummary{Objects: 2}},
		"still running":  {[]corev1.Pod{{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{}}}}}, nil},
		"nothing left":   {[]corev1.Pod{pod(1, "")}, nil},
		"something else": {[]corev1.Pod{pod(1, "panic: out of luck")}, nil},
		"too many reasons": {[]corev1.Pod{pod(1, `{"skipped":{`+strings.TrimSuffix(func() string {
			var reasons strings.Builder
			for i := range 33 {
				reasons.WriteString(`"` + strings.Repeat("r", i+1) + `":1,`)
			}
			return reasons.String()
		}(), ",")+`}}`)}, nil},
		"a reason too long":   {[]corev1.Pod{pod(1, `{"unasked":{"`+strings.Repeat("r", 65)+`":1}}`)}, nil},
		"too many names":      {[]corev1.Pod{pod(1, `{"unlisted":["a","a","a","a","a","a","a","a","a","a","a"]}`)}, nil},
		"a problem too long":  {[]corev1.Pod{pod(1, `{"problem":"`+strings.Repeat("p", 1025)+`"}`)}, nil},
		"the longest problem": {[]corev1.Pod{pod(1, `{"problem":"`+strings.Repeat("p", 1024)+`"}`)}, &operatorv1alpha1.AuditSummary{Problem: strings.Repeat("p", 1024)}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, summaryOf(tc.pods)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestEventsOfScans(t *testing.T) {
	status := func(name string, outcome operatorv1alpha1.AuditOutcome, summary operatorv1alpha1.AuditSummary) operatorv1alpha1.KubewardenStatus {
		run := operatorv1alpha1.AuditRun{JobName: name, Outcome: outcome, Message: "out of luck"}
		return operatorv1alpha1.KubewardenStatus{Audit: &operatorv1alpha1.AuditStatus{
			LastFinished: &operatorv1alpha1.AuditResult{AuditRun: run, Summary: &summary},
		}}
	}
	complete, failed := operatorv1alpha1.AuditOutcomeComplete, operatorv1alpha1.AuditOutcomeFailed
	whole := operatorv1alpha1.AuditSummary{Pass: 1}
	partial := operatorv1alpha1.AuditSummary{Error: 3, Skip: 1, Unlisted: []string{"roles", "secrets"}, UnlistedCount: 2, Shortened: 4}
	const missing = "questions without a verdict (3); questions of which it is not known whether to put them (1); resources that cannot be listed (2): roles, secrets; parts of reports that would be too large (4)"
	tests := map[string]struct {
		before, after operatorv1alpha1.KubewardenStatus
		want          []happening
	}{
		"audits are disabled":        {before: status("a", complete, whole)},
		"the first is whole":         {after: status("a", complete, whole)},
		"the same":                   {before: status("a", failed, whole), after: status("a", failed, whole)},
		"another whole one":          {before: status("a", complete, whole), after: status("b", complete, whole)},
		"it failed":                  {before: status("a", complete, whole), after: status("b", failed, whole), want: []happening{{"Warning", "AuditFailed", "the scan of Job b failed: out of luck"}}},
		"it failed again":            {before: status("a", failed, whole), after: status("b", failed, whole), want: []happening{{"Warning", "AuditFailed", "the scan of Job b failed: out of luck"}}},
		"it left something out":      {after: status("a", complete, partial), want: []happening{{"Warning", "AuditIncomplete", "the scan of Job a left something out: " + missing}}},
		"it left the same out again": {before: status("a", complete, partial), after: status("b", complete, partial)},
		"after a failure it left something out": {
			before: status("a", failed, partial), after: status("b", complete, partial),
			want: []happening{{"Warning", "AuditIncomplete", "the scan of Job b left something out: " + missing}},
		},
		"whole after a failure": {
			before: status("a", failed, whole), after: status("b", complete, whole),
			want: []happening{{"Normal", "AuditRecovered", "the scan of Job b is complete and left nothing out, other than the one before"}},
		},
		"whole after one that was not": {
			before: status("a", complete, partial), after: status("b", complete, whole),
			want: []happening{{"Normal", "AuditRecovered", "the scan of Job b is complete and left nothing out, other than the one before"}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, auditEvents(&tc.before, &tc.after), cmp.AllowUnexported(happening{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheScanThatEndedLastOutlivesItsJob(t *testing.T) {
	result := func() *operatorv1alpha1.AuditResult {
		return &operatorv1alpha1.AuditResult{
			AuditRun: newRun(new(job("a", 1, batchv1.JobFailed))),
			Summary:  &operatorv1alpha1.AuditSummary{Objects: 5, Problem: "list pods: too slow"},
		}
	}
	told := result()
	told.Message = "out of luck: list pods: too slow"
	t.Run("it is told of, with what the scanner says", func(t *testing.T) {
		s := auditing(func(s *state) {
			s.audit.jobs, s.audit.finished = []batchv1.Job{job("a", 1, batchv1.JobFailed)}, result()
		})
		setStatus(s, nil, nil)
		if diff := cmp.Diff(told, s.kubewarden.Status.Audit.LastFinished); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		want := conditionWords{"True", "Scheduled", `scans start by the schedule "0 * * * *"; the last one, Job a, failed: out of luck: list pods: too slow`}
		if diff := cmp.Diff(want, conditionOf(s, operatorv1alpha1.ConditionAuditScheduled)); diff != "" {
			t.Errorf("unexpected AuditScheduled (-want +got):\n%s", diff)
		}
	})
	t.Run("while another runs, and its Job is gone", func(t *testing.T) {
		s := auditing(func(s *state) {
			s.kubewarden.Status.Audit = &operatorv1alpha1.AuditStatus{LastFinished: told}
			s.audit.jobs = []batchv1.Job{job("b", 2)}
		})
		setStatus(s, nil, nil)
		if diff := cmp.Diff(told, s.kubewarden.Status.Audit.LastFinished); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("one whose Job was deleted has ended", func(t *testing.T) {
		s := auditing(func(s *state) {
			run := newRun(new(job("b", 2)))
			s.kubewarden.Status.Audit = &operatorv1alpha1.AuditStatus{LastFinished: told, LastRun: &run}
			s.audit.lost = []string{"b"}
		})
		setStatus(s, nil, nil)
		if got := s.kubewarden.Status.Audit.LastFinished; got.JobName != "b" || got.Outcome != operatorv1alpha1.AuditOutcomeFailed {
			t.Errorf("got %+v", got)
		}
	})
}
