package stack

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
)

// auditing is the state in which scans start; each case takes something away from it.
func auditing(changes ...func(*state)) *state {
	return enforcing(append([]func(*state){func(s *state) {
		s.kubewarden.Spec.Audit.Schedule = "0 * * * *"
		s.audit = audit{synced: true, published: true, cronJob: &batchv1.CronJob{Spec: batchv1.CronJobSpec{Schedule: "0 * * * *"}}}
		s.reportKinds = []reportKind{ourKind("policyreports"), ourKind("clusterpolicyreports")}
	}}, changes...)...)
}

func ourKind(name string) reportKind {
	return reportKind{
		definition: name + ".example.io", version: "example.io/v2", origin: "created by this operator",
		established: true, served: []string{"example.io/v1", "example.io/v2"},
	}
}

var noon = metav1.NewTime(time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC))

// job is a Job that was made some minutes past noon and has a condition, if any.
func job(name string, minute int, conditions ...batchv1.JobConditionType) batchv1.Job {
	at := metav1.NewTime(noon.Add(time.Duration(minute) * time.Minute))
	job := batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: at}}
	job.Status.StartTime = &at
	for _, condition := range conditions {
		job.Status.Conditions = append(job.Status.Conditions, batchv1.JobCondition{
			Type: condition, Status: corev1.ConditionTrue, Message: "out of luck", LastTransitionTime: at,
		})
	}
	return job
}

func conditionOf(s *state, conditionType string) conditionWords {
	condition := apimeta.FindStatusCondition(s.kubewarden.Status.Conditions, conditionType)
	if condition == nil {
		return conditionWords{}
	}
	return conditionWords{condition.Status, condition.Reason, condition.Message}
}

func TestAuditScheduled(t *testing.T) {
	asked := func(s *state) {
		s.kubewarden.Annotations = map[string]string{operatorv1alpha1.AnnotationAuditNow: "now"}
	}
	tests := map[string]struct {
		state *state
		want  conditionWords
	}{
		"scheduled": {auditing(), conditionWords{"True", "Scheduled", `scans start by the schedule "0 * * * *"`}},
		"disabled": {
			auditing(func(s *state) { s.kubewarden.Spec.Audit.Enabled = new(false) }),
			conditionWords{"False", "Disabled", "spec.audit.enabled is false; reports that there are stay"},
		},
		"suspended": {
			auditing(func(s *state) { s.kubewarden.Spec.Enforcement = operatorv1alpha1.EnforcementSuspended }),
			conditionWords{"False", "Suspended", "spec.enforcement is Suspended: no scan starts, and reports stay as they are"},
		},
		"a kind of reports is not served": {
			auditing(func(s *state) { s.reportKinds[1].served = []string{"example.io/v3"} }),
			conditionWords{
				"False", "ReportKindsNotServed", "CustomResourceDefinition clusterpolicyreports.example.io (created by this operator) serves " +
					"example.io/v3, and reports are written in example.io/v2: have it serve that version as well, or set spec.audit.reportKind to the other kind",
			},
		},
		"without an authority": {
			auditing(func(s *state) { s.audit.published = false }),
			conditionWords{"False", "CertificatesNotReady", "there is no certificate authority yet that a scan could trust"},
		},
		"no schedule": {
			auditing(func(s *state) { s.audit.invalidSchedule = `Invalid value: "61 * * * *"` }),
			conditionWords{
				"False", "InvalidSchedule",
				`spec.audit.schedule: Invalid value: "61 * * * *"; the schedule before it, "0 * * * *", stays in force`,
			},
		},
		"no schedule from the first": {
			auditing(func(s *state) { s.audit.invalidSchedule, s.audit.cronJob = `Invalid value: "61 * * * *"`, nil }),
			conditionWords{"False", "InvalidSchedule", `spec.audit.schedule: Invalid value: "61 * * * *"`},
		},
		"something cannot be written": {
			auditing(func(s *state) { s.audit.failed = errors.New("apply CronJob: no") }),
			conditionWords{"False", "ReconciliationFailed", "apply CronJob: no"},
		},
		"the last one failed": {
			auditing(func(s *state) {
				s.audit.jobs = []batchv1.Job{job("b", 2, batchv1.JobFailed), job("a", 1, batchv1.JobComplete)}
			}),
			conditionWords{"True", "Scheduled", `scans start by the schedule "0 * * * *"; the last one, Job b, failed: out of luck`},
		},
		"asked for while one runs": {
			auditing(asked, func(s *state) { s.audit.jobs = []batchv1.Job{job("a", 1)} }),
			conditionWords{"True", "Scheduled", `scans start by the schedule "0 * * * *"; one that was asked for waits for the scan that runs, Job a`},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			setStatus(tc.state, nil, nil)
			if diff := cmp.Diff(tc.want, conditionOf(tc.state, operatorv1alpha1.ConditionAuditScheduled)); diff != "" {
				t.Errorf("unexpected AuditScheduled (-want +got):\n%s", diff)
			}
			wantReady := conditionWords{"True", "Enforcing", "1 of 2 policies active, 1 of 2 policy servers ready"}
			switch tc.want.Reason {
			case "Scheduled", "Disabled":
			case "Suspended":
				return // Ready has a reason of its own
			default:
				wantReady = conditionWords{"False", "AuditNotScheduled", tc.want.Message + "; policies are enforced"}
			}
			if diff := cmp.Diff(wantReady, conditionOf(tc.state, operatorv1alpha1.ConditionReady)); diff != "" {
				t.Errorf("unexpected Ready (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReportKindsServed(t *testing.T) {
	tests := map[string]struct {
		change func(*reportKind)
		want   conditionWords
	}{
		"served": {func(*reportKind) {}, conditionWords{
			"True", "Served", "reports are written as policyreports.example.io in example.io/v2 (created by this operator) " +
				"and clusterpolicyreports.example.io in example.io/v2 (created by this operator)",
		}},
		"not yet": {func(kind *reportKind) { kind.established = false }, conditionWords{
			"False", "NotEstablished", "CustomResourceDefinition clusterpolicyreports.example.io (created by this operator) is not established yet",
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := auditing(func(s *state) { tc.change(&s.reportKinds[1]) })
			setStatus(s, nil, nil)
			if diff := cmp.Diff(tc.want, conditionOf(s, operatorv1alpha1.ConditionReportKindsServed)); diff != "" {
				t.Errorf("unexpected ReportKindsServed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAuditRuns(t *testing.T) {
	running := func(name string) *operatorv1alpha1.AuditRun {
		return &operatorv1alpha1.AuditRun{JobName: name, Outcome: operatorv1alpha1.AuditOutcomeRunning}
	}
	at := func(minute int) *metav1.Time {
		at := metav1.NewTime(noon.Add(time.Duration(minute) * time.Minute))
		return &at
	}
	tests := map[string]struct {
		before *operatorv1alpha1.AuditStatus
		audit  audit
		want   operatorv1alpha1.AuditStatus
	}{
		"none": {},
		"the newest is the last, and the last complete one counts": {
			audit: audit{jobs: []batchv1.Job{job("c", 3), job("b", 2, batchv1.JobSuccessCriteriaMet, batchv1.JobComplete), job("a", 1, batchv1.JobComplete)}},
			want: operatorv1alpha1.AuditStatus{
				LastSuccessfulTime: at(2),
				LastRun:            &operatorv1alpha1.AuditRun{JobName: "c", Outcome: operatorv1alpha1.AuditOutcomeRunning, StartTime: at(3)},
			},
		},
		"what is forgotten by the cluster is remembered": {
			before: &operatorv1alpha1.AuditStatus{
				LastSuccessfulTime: at(1),
				LastRun:            &operatorv1alpha1.AuditRun{JobName: "a", Outcome: operatorv1alpha1.AuditOutcomeComplete},
			},
			want: operatorv1alpha1.AuditStatus{
				LastSuccessfulTime: at(1),
				LastRun:            &operatorv1alpha1.AuditRun{JobName: "a", Outcome: operatorv1alpha1.AuditOutcomeComplete},
			},
		},
		"one that was deleted has failed": {
			before: &operatorv1alpha1.AuditStatus{
				LastRun:     running("a"),
				LastRequest: &operatorv1alpha1.AuditRequest{Value: "now", AuditRun: *running("a")},
			},
			audit: audit{lost: []string{"a"}},
			want: operatorv1alpha1.AuditStatus{
				LastRun: &operatorv1alpha1.AuditRun{JobName: "a", Outcome: operatorv1alpha1.AuditOutcomeFailed, Message: "the Job was deleted before it ended"},
				LastFinished: &operatorv1alpha1.AuditResult{AuditRun: operatorv1alpha1.AuditRun{
					JobName: "a", Outcome: operatorv1alpha1.AuditOutcomeFailed, Message: "the Job was deleted before it ended",
				}},
				LastRequest: &operatorv1alpha1.AuditRequest{Value: "now", AuditRun: operatorv1alpha1.AuditRun{
					JobName: "a", Outcome: operatorv1alpha1.AuditOutcomeFailed, Message: "the Job was deleted before it ended",
				}},
			},
		},
		"one that was asked for fails": {
			before: &operatorv1alpha1.AuditStatus{LastRequest: &operatorv1alpha1.AuditRequest{Value: "now", AuditRun: *running("a")}},
			audit:  audit{jobs: []batchv1.Job{job("a", 1, batchv1.JobFailed)}},
			want: operatorv1alpha1.AuditStatus{
				LastRun: &operatorv1alpha1.AuditRun{JobName: "a", Outcome: operatorv1alpha1.AuditOutcomeFailed, Message: "out of luck", StartTime: at(1), EndTime: at(1)},
				LastRequest: &operatorv1alpha1.AuditRequest{Value: "now", AuditRun: operatorv1alpha1.AuditRun{
					JobName: "a", Outcome: operatorv1alpha1.AuditOutcomeFailed, Message: "out of luck", StartTime: at(1), EndTime: at(1),
				}},
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := auditing(func(s *state) {
				s.kubewarden.Status.Audit = tc.before
				tc.audit.synced = true
				s.audit = tc.audit
			})
			setStatus(s, nil, nil)
			if diff := cmp.Diff(&tc.want, s.kubewarden.Status.Audit); diff != "" {
				t.Errorf("unexpected status (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRequestsAreShortenedAndTellApart(t *testing.T) {
	seen := map[string]string{}
	for name, value := range map[string]string{
		"a time":                  "2026-11-25T12:00:00Z",
		"as long as is shown":     strings.Repeat("a", 64),
		"longer":                  strings.Repeat("a", 65),
		"longer still":            strings.Repeat("a", 66),
		"cut within a character":  "a" + strings.Repeat("\u00e4", 64),
		"the longest that can be": strings.Repeat("\U0001F985", 64<<10),
	} {
		got := shortened(value)
		if len(got) > maxRequest || !utf8.ValidString(got) {
			t.Errorf("%s: %q has %d bytes (valid: %t)", name, got, len(got), utf8.ValidString(got))
		}
		if other, taken := seen[got]; taken {
			t.Errorf("%s and %s are both shortened to %q", name, other, got)
		}
		seen[got] = name
	}
}

func TestNamesOfRequestedJobs(t *testing.T) {
	kubewarden := func(before string) *operatorv1alpha1.Kubewarden {
		kubewarden := &operatorv1alpha1.Kubewarden{}
		kubewarden.Status.Audit = &operatorv1alpha1.AuditStatus{LastRequest: &operatorv1alpha1.AuditRequest{
			AuditRun: operatorv1alpha1.AuditRun{JobName: before},
		}}
		return kubewarden
	}
	first := requestedJobName(kubewarden(""), "a")
	second := requestedJobName(kubewarden(first), "b")
	again := requestedJobName(kubewarden(second), "a")
	if first == second || first == again || second == again {
		t.Errorf("names are %s, %s, %s, want them to differ", first, second, again)
	}
	if repeated := requestedJobName(kubewarden(first), "b"); repeated != second {
		t.Errorf("a reconcile that is repeated names the Job %s, want %s", repeated, second)
	}
}

func TestRefusedSchedule(t *testing.T) {
	invalid := func(path *field.Path) error {
		return apierrors.NewInvalid(schema.GroupKind{Group: "batch", Kind: "CronJob"}, "audit-scanner",
			field.ErrorList{field.Invalid(path, "61", "above maximum")})
	}
	tests := map[string]struct {
		err  error
		want string
	}{
		"none":          {nil, ""},
		"another error": {errors.New("no"), ""},
		"another field": {invalid(field.NewPath("spec", "jobTemplate")), ""},
		"the schedule":  {fmt.Errorf("apply CronJob: %w", invalid(field.NewPath("spec", "schedule"))), `Invalid value: "61": above maximum`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, refused := refusedSchedule(tc.err)
			if got != tc.want || refused != (tc.want != "") {
				t.Errorf("got %q (refused: %t), want %q", got, refused, tc.want)
			}
		})
	}
}
