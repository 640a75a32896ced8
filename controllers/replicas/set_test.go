package replicas_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

const (
	policyID  = "kw.cap.labels"
	startTime = "2026-11-23T10:00:00.5Z"
)

var containerStart = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func pod(name string, options ...func(*corev1.Pod)) corev1.Pod {
	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{render.LabelPolicyServer: "default"},
	}}
	for _, option := range options {
		option(&pod)
	}
	return pod
}

func ready(pod *corev1.Pod) {
	pod.Status.Conditions = append(pod.Status.Conditions,
		corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue})
}

func terminating(pod *corev1.Pod) {
	pod.DeletionTimestamp = &metav1.Time{Time: containerStart}
}

func startedAt(start time.Time) func(*corev1.Pod) { return running("policy-server-default", start) }

func running(container string, start time.Time) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{
			Name:  container,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Time{Time: start}}},
		})
	}
}

func entry(t *testing.T, settings string) contract.Entry {
	t.Helper()
	return contract.Entry{UID: policyUID, Module: "registry://example.test/labels:v1", Settings: json.RawMessage(settings)}
}

const policyUID = "2d3c1f4e"

// ownedBy is a report of what is served for a custom resource.
func ownedBy(report contract.Report, uid string) contract.Report {
	served := report.Policies[policyID]
	served.Owner = contract.OwnerHash(uid)
	report.Policies = map[string]contract.Served{policyID: served}
	return report
}

func serving(t *testing.T, served contract.Entry) contract.Report {
	t.Helper()
	const digest = "0123456789ab"
	revision, err := contract.Revision(served, digest)
	if err != nil {
		t.Fatal(err)
	}
	return contract.Report{
		StartTime: startTime,
		Policies:  map[string]contract.Served{policyID: {Revision: revision, ModuleDigest: digest}},
	}
}

func refusing(t *testing.T, report contract.Report, wanted contract.Entry, reason contract.Reason) contract.Report {
	t.Helper()
	hash, err := contract.EntryHash(wanted)
	if err != nil {
		t.Fatal(err)
	}
	report.StartTime = startTime
	report.Failures = map[string]contract.Failure{
		policyID: {Wanted: hash, Reason: reason, Message: "no labels given"},
	}
	return report
}

func TestNewSet(t *testing.T) {
	report := contract.Report{StartTime: startTime}
	tests := map[string]struct {
		pod        corev1.Pod
		report     contract.Report
		wantReady  bool
		wantReport bool
	}{
		"a ready Pod with the report of its process": {
			pod: pod("a", ready, startedAt(containerStart)), report: report, wantReady: true, wantReport: true,
		},
		"a Pod whose container statuses are not known yet": {
			pod: pod("a"), report: report, wantReport: true,
		},
		"a terminating Pod gets no requests, ready or not": {
			pod: pod("a", ready, terminating), report: report, wantReport: true,
		},
		"the container was restarted after the report": {
			pod: pod("a", ready, startedAt(containerStart.Add(time.Minute))), report: report, wantReady: true,
		},
		"a sidecar was restarted after the report": {
			pod:    pod("a", ready, startedAt(containerStart), running("sidecar", containerStart.Add(time.Minute))),
			report: report, wantReady: true, wantReport: true,
		},
		"a report without a start time says nothing of the process that runs": {
			pod: pod("a", ready), report: contract.Report{}, wantReady: true,
		},
		"the report of another Pod": {
			pod: pod("b", ready), report: report, wantReady: true,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			set := replicas.NewSet([]corev1.Pod{tc.pod}, map[string]contract.Report{"a": tc.report})
			if got := set[0].Ready; got != tc.wantReady {
				t.Errorf("Ready = %t, want %t", got, tc.wantReady)
			}
			if got := set[0].Report != nil; got != tc.wantReport {
				t.Errorf("has a report = %t, want %t", got, tc.wantReport)
			}
		})
	}
}

func TestPolicy(t *testing.T) {
	old, wanted := entry(t, `{"labels":["a"]}`), entry(t, `{"labels":["b"]}`)
	servedWanted := func(count int32) replicas.Revision {
		return replicas.Revision{Served: serving(t, wanted).Policies[policyID], Wanted: true, Replicas: count}
	}
	servedOld := func(count int32) replicas.Revision {
		return replicas.Revision{Served: serving(t, old).Policies[policyID], Replicas: count}
	}
	tests := map[string]struct {
		pods    []corev1.Pod
		reports map[string]contract.Report
		want    replicas.Policy
	}{
		"no replica at all": {
			want: replicas.Policy{},
		},
		"every replica enforces the wanted revision": {
			pods:    []corev1.Pod{pod("a", ready), pod("b", ready)},
			reports: map[string]contract.Report{"a": serving(t, wanted), "b": serving(t, wanted)},
			want:    replicas.Policy{Total: 2, Ready: 2, Serving: 2, Enforcing: 2, Served: []replicas.Revision{servedWanted(2)}},
		},
		"a replica has not heard that the policy was made again": {
			pods:    []corev1.Pod{pod("a", ready), pod("b", ready)},
			reports: map[string]contract.Report{"a": ownedBy(serving(t, wanted), "uid-before"), "b": ownedBy(serving(t, wanted), policyUID)},
			want: replicas.Policy{Total: 2, Ready: 2, Serving: 1, Enforcing: 1, Served: []replicas.Revision{{
				Served: ownedBy(serving(t, wanted), policyUID).Policies[policyID], Wanted: true, Replicas: 1,
			}}},
		},
		"one replica is behind": {
			pods:    []corev1.Pod{pod("a", ready), pod("b", ready)},
			reports: map[string]contract.Report{"a": serving(t, old), "b": serving(t, wanted)},
			want: replicas.Policy{
				Total: 2, Ready: 2, Serving: 2, Enforcing: 1, Served: []replicas.Revision{servedWanted(1), servedOld(1)},
			},
		},
		"a ready replica without a report serves nothing that is known": {
			pods:    []corev1.Pod{pod("a", ready), pod("b", ready)},
			reports: map[string]contract.Report{"b": serving(t, wanted)},
			want:    replicas.Policy{Total: 2, Ready: 2, Serving: 1, Enforcing: 1, Served: []replicas.Revision{servedWanted(1)}},
		},
		"a report that was cut does not say that a policy is not served": {
			pods: []corev1.Pod{pod("a", ready), pod("b", ready), pod("c")},
			reports: map[string]contract.Report{
				"a": {StartTime: startTime, Truncated: true}, "b": serving(t, wanted), "c": {StartTime: startTime, Truncated: true},
			},
			want: replicas.Policy{Total: 3, Ready: 2, Serving: 1, Enforcing: 1, Untold: 1, Served: []replicas.Revision{servedWanted(1)}},
		},
		"an unready replica enforces but gets no requests": {
			pods:    []corev1.Pod{pod("a")},
			reports: map[string]contract.Report{"a": serving(t, wanted)},
			want:    replicas.Policy{Total: 1},
		},
		"refused by both while the older revision serves": {
			pods: []corev1.Pod{pod("b", ready), pod("a", ready)},
			reports: map[string]contract.Report{
				"a": refusing(t, serving(t, old), wanted, contract.ReasonInvalidSettings),
				"b": refusing(t, serving(t, old), wanted, contract.ReasonInvalidSettings),
			},
			want: replicas.Policy{Total: 2, Ready: 2, Serving: 2, Refusing: 2, Served: []replicas.Revision{servedOld(2)}, Refusals: []replicas.Refusal{{
				Reason: contract.ReasonInvalidSettings, Message: "no labels given", Replicas: []string{"a", "b"},
			}}},
		},
		"the refusal of an unready replica is heard": {
			pods:    []corev1.Pod{pod("a")},
			reports: map[string]contract.Report{"a": refusing(t, contract.Report{}, wanted, contract.ReasonFetchFailed)},
			want: replicas.Policy{Total: 1, Refusals: []replicas.Refusal{{
				Reason: contract.ReasonFetchFailed, Message: "no labels given", Replicas: []string{"a"},
			}}},
		},
		"a refusal of an entry that is no longer wanted is history": {
			pods:    []corev1.Pod{pod("a", ready)},
			reports: map[string]contract.Report{"a": refusing(t, serving(t, wanted), old, contract.ReasonInvalidSettings)},
			want:    replicas.Policy{Total: 1, Ready: 1, Serving: 1, Enforcing: 1, Served: []replicas.Revision{servedWanted(1)}},
		},
		"the reason that most replicas give comes first": {
			pods: []corev1.Pod{pod("a", ready), pod("b", ready), pod("c", ready)},
			reports: map[string]contract.Report{
				"a": refusing(t, contract.Report{}, wanted, contract.ReasonFetchFailed),
				"b": refusing(t, contract.Report{}, wanted, contract.ReasonInvalidSettings),
				"c": refusing(t, contract.Report{}, wanted, contract.ReasonInvalidSettings),
			},
			want: replicas.Policy{Total: 3, Ready: 3, Refusing: 3, Refusals: []replicas.Refusal{
				{Reason: contract.ReasonInvalidSettings, Message: "no labels given", Replicas: []string{"b", "c"}},
				{Reason: contract.ReasonFetchFailed, Message: "no labels given", Replicas: []string{"a"}},
			}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := replicas.NewSet(tc.pods, tc.reports).Policy(policyID, wanted)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("unexpected standing (-want +got):\n%s", diff)
			}
		})
	}
}

// startedWith makes a Pod one that does not report, and that was started with entries.
func startedWith(t *testing.T, served contract.Report) func(*corev1.Pod) {
	t.Helper()
	encoded, err := json.Marshal(served)
	if err != nil {
		t.Fatal(err)
	}
	return func(pod *corev1.Pod) {
		pod.Annotations = map[string]string{"operator.kubewarden.io/started-with": string(encoded)}
	}
}

// silently is what somebody serves who does not tell the digest of the module.
func silently(t *testing.T, served contract.Entry) contract.Report {
	t.Helper()
	revision, err := contract.Revision(served, "")
	if err != nil {
		t.Fatal(err)
	}
	return contract.Report{Policies: map[string]contract.Served{policyID: {Revision: revision, Owner: contract.OwnerHash(served.UID)}}}
}

func TestReplicasThatDoNotReportServeWhatTheyWereStartedWith(t *testing.T) {
	old, wanted := entry(t, `{"labels":["a"]}`), entry(t, `{"labels":["b"]}`)
	before, now := startedWith(t, silently(t, old)), startedWith(t, silently(t, wanted))
	tests := map[string]struct {
		pods []corev1.Pod
		want replicas.Policy // but for Served
	}{
		"the roll-out is complete": {
			pods: []corev1.Pod{pod("a", now, ready), pod("b", now, ready)},
			want: replicas.Policy{Total: 2, Ready: 2, Serving: 2, Enforcing: 2, Silent: 2},
		},
		"a new one is not ready yet": {
			pods: []corev1.Pod{pod("a", before, ready), pod("b", before, ready), pod("c", now)},
			want: replicas.Policy{Total: 3, Ready: 2, Serving: 2, Silent: 2},
		},
		"an old one is still there": {
			pods: []corev1.Pod{pod("a", before, ready), pod("b", now, ready)},
			want: replicas.Policy{Total: 2, Ready: 2, Serving: 2, Enforcing: 1, Silent: 2},
		},
		"an old one is on its way out": {
			pods: []corev1.Pod{pod("a", before, ready, terminating), pod("b", now, ready)},
			want: replicas.Policy{Total: 1, Ready: 1, Serving: 1, Enforcing: 1, Silent: 1, Lingering: 1},
		},
		"an old one has ended": {
			pods: []corev1.Pod{pod("a", before, terminating), pod("b", now, ready)},
			want: replicas.Policy{Total: 1, Ready: 1, Serving: 1, Enforcing: 1, Silent: 1},
		},
		"one that is on its way out serves what is wanted": {
			pods: []corev1.Pod{pod("a", now, ready, terminating), pod("b", now, ready)},
			want: replicas.Policy{Total: 1, Ready: 1, Serving: 1, Enforcing: 1, Silent: 1},
		},
		"its container was started again": {
			pods: []corev1.Pod{pod("a", now, ready, startedAt(containerStart.Add(time.Hour)))},
			want: replicas.Policy{Total: 1, Ready: 1, Serving: 1, Enforcing: 1, Silent: 1},
		},
		"nobody can read what it was started with": {
			pods: []corev1.Pod{pod("a", ready, func(pod *corev1.Pod) {
				pod.Annotations = map[string]string{"operator.kubewarden.io/started-with": "{"}
			})},
			want: replicas.Policy{Total: 1, Ready: 1, Silent: 1},
		},
		"another policy had the name": {
			pods: []corev1.Pod{pod("a", ready, startedWith(t, ownedBy(silently(t, wanted), "uid-before")))},
			want: replicas.Policy{Total: 1, Ready: 1, Silent: 1},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			// What somebody else wrote under the name of the Pod counts for nothing.
			set := replicas.NewSet(tc.pods, map[string]contract.Report{"a": serving(t, wanted)})
			got, err := set.Policy(policyID, wanted)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, cmpopts.IgnoreFields(replicas.Policy{}, "Served"), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("unexpected standing (-want +got):\n%s", diff)
			}
			digests, err := set.Digests(policyID, wanted)
			if err != nil || digests != nil {
				t.Errorf("digests %v (%v), want none: nobody tells them", digests, err)
			}
			modules, err := set.Modules(contract.Policies{policyID: wanted})
			if err != nil || len(modules) > 0 {
				t.Errorf("modules %v (%v), want none: nobody could be asked about settings", modules, err)
			}
		})
	}
}

func TestPolicyRefusesSettingsThatAreNoJSON(t *testing.T) {
	if _, err := (replicas.Set{}).Policy(policyID, entry(t, `{`)); err == nil {
		t.Error("got no error, want one")
	}
}
