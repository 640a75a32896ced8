package policyserver

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/certs"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

const image = "example.test/operator:v1"

// serving is the state in which all is well; each case takes something away from it.
func serving(t *testing.T, changes ...func(*state)) *state {
	t.Helper()
	two := int32(2)
	server := &policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: "default", Generation: 3}}
	server.Spec.Replicas = &two
	s := newState(server)
	s.kubewarden = &operatorv1alpha1.Kubewarden{}
	s.policies = contract.Policies{"kw.cap.a": {Module: "a"}, "kw.cap.b": {Module: "b"}}
	s.observed, s.applied = true, true
	s.certificate = certs.Progress{Ready: true}
	s.deployment = &appsv1.Deployment{}
	for _, name := range []string{"pod-a", "pod-b"} {
		s.replicas = append(s.replicas, replica(t, s.policies, name))
	}
	for _, change := range changes {
		change(s)
	}
	return s
}

// replica is ready and has loaded all policies.
func replica(t *testing.T, policies contract.Policies, name string) replicas.Replica {
	t.Helper()
	revision, err := contract.ConfigRevision(policies)
	if err != nil {
		t.Fatal(err)
	}
	report := &contract.Report{ConfigRevision: revision, Policies: map[string]contract.Served{}}
	for id, entry := range policies {
		served, err := contract.Revision(entry, "d1gest")
		if err != nil {
			t.Fatal(err)
		}
		report.Policies[id] = contract.Served{Revision: served, ModuleDigest: "d1gest"}
	}
	return replicas.Replica{Name: name, Ready: true, Report: report}
}

func unready(count int) func(*state) {
	return func(s *state) {
		for i := range count {
			s.replicas[i].Ready = false
		}
	}
}

// refusing makes the first replica refuse a policy.
func refusing(t *testing.T, id string) func(*state) {
	t.Helper()
	return func(s *state) {
		hash, err := contract.EntryHash(s.policies[id])
		if err != nil {
			t.Fatal(err)
		}
		delete(s.replicas[0].Report.Policies, id)
		s.replicas[0].Report.Failures = map[string]contract.Failure{
			id: contract.NewFailure(hash, contract.ReasonInvalidSettings, "no"),
		}
	}
}

// withoutRoom refuses policies, the first of which has still the entry of before.
func withoutRoom(ids ...string) func(*state) {
	return func(s *state) {
		s.refused = map[string]render.RefusedEntry{}
		for _, id := range ids {
			s.refused[id] = render.RefusedEntry{}
		}
	}
}

type conditionWords struct {
	Status  metav1.ConditionStatus
	Reason  string
	Message string
}

func words(s *state, conditionType string) conditionWords {
	for _, condition := range s.server.Status.Conditions {
		if condition.Type == conditionType && condition.ObservedGeneration == s.server.Generation {
			return conditionWords{condition.Status, condition.Reason, condition.Message}
		}
	}
	return conditionWords{}
}

func TestReady(t *testing.T) {
	now := metav1.Now()
	tests := map[string]struct {
		state *state
		cause error
		want  conditionWords
	}{
		"something that the spec names is missing": {
			state: serving(t, unready(1), func(s *state) {
				s.unresolved = []string{"spec.imagePullSecret: there is no Secret kubewarden/login", "another"}
			}),
			want: conditionWords{
				"False", "UnresolvedReference",
				"1 of 2 replicas ready; spec.imagePullSecret: there is no Secret kubewarden/login; another",
			},
		},
		"serving": {
			state: serving(t),
			want:  conditionWords{"True", "Serving", "2 of 2 replicas ready; 2 of 2 policies enforced"},
		},
		"serving nothing yet": {
			state: serving(t, func(s *state) { s.policies = nil }),
			want:  conditionWords{"True", "Serving", "2 of 2 replicas ready; no policies"},
		},
		"a policy fails alone": {
			state: serving(t, refusing(t, "kw.cap.b")),
			want: conditionWords{
				"True", "PoliciesFailed",
				"2 of 2 replicas ready; 1 of 2 policies enforced, 1 failed: see their conditions",
			},
		},
		"policies without room": {
			state: serving(t, withoutRoom("kw.cap.b", "kw.cap.c", "kw.cap.d", "kw.cap.e")),
			want: conditionWords{
				"True", "PoliciesFailed",
				"2 of 2 replicas ready; 1 of 5 policies enforced, 4 failed: see their conditions; " +
					"no room for 4: kw.cap.b, kw.cap.c, kw.cap.d and 1 more",
			},
		},
		"one replica is missing": {
			state: serving(t, unready(1)),
			want:  conditionWords{"False", "WaitingForReplicas", "1 of 2 replicas ready"},
		},
		"one replica cannot be placed": {
			state: serving(t, unready(1), func(s *state) {
				s.pods = []corev1.Pod{{
					ObjectMeta: metav1.ObjectMeta{Name: "pod-a"},
					Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{
						Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/1 nodes are available",
					}}},
				}}
			}),
			want: conditionWords{"False", "WaitingForReplicas", "1 of 2 replicas ready; Pod pod-a: 0/1 nodes are available"},
		},
		"the image cannot be pulled": {
			state: serving(t, unready(2), func(s *state) { s.pods = []corev1.Pod{waiting("pod-a", "ImagePullBackOff", "not found")} }),
			want:  conditionWords{"False", "WaitingForReplicas", "0 of 2 replicas ready; Pod pod-a: ImagePullBackOff: not found"},
		},
		"merely starting": {
			state: serving(t, unready(2), func(s *state) { s.pods = []corev1.Pod{waiting("pod-a", "ContainerCreating", "")} }),
			want:  conditionWords{"False", "WaitingForReplicas", "0 of 2 replicas ready"},
		},
		"Pods cannot be made": {
			state: serving(t, unready(2), func(s *state) {
				s.deployment.Status.Conditions = []appsv1.DeploymentCondition{{
					Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Message: "exceeded quota",
				}}
			}),
			want: conditionWords{"False", "ReplicasFailing", "0 of 2 replicas ready; exceeded quota"},
		},
		"Pods that do not become ready for long": {
			state: serving(t, unready(1), func(s *state) {
				s.deployment.Status.Conditions = []appsv1.DeploymentCondition{{
					Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Message: "deadline exceeded",
				}}
			}),
			want: conditionWords{"False", "ReplicasFailing", "1 of 2 replicas ready"},
		},
		"waiting for the certificate": {
			state: serving(t, unready(2), func(s *state) {
				s.certificate = certs.Progress{Message: "waiting for cert-manager to issue x"}
			}),
			want: conditionWords{"False", "WaitingForCertificate", "0 of 2 replicas ready; waiting for cert-manager to issue x"},
		},
		"scaled to zero": {
			state: serving(t, func(s *state) { s.server.Spec.Replicas, s.replicas = new(int32), nil }),
			want:  conditionWords{"False", "ScaledToZero", "spec.replicas is 0, so no policy of this server is enforced"},
		},
		"no installation": {
			state: serving(t, func(s *state) { s.kubewarden, s.applied = nil, false }),
			want: conditionWords{
				"False", "NoInstallation",
				"there is no Kubewarden object: the operator does nothing until one is created",
			},
		},
		"uninstalling": {
			state: serving(t, func(s *state) { s.kubewarden.DeletionTimestamp, s.applied = &now, false }),
			want:  conditionWords{"False", "NoInstallation", "the Kubewarden object is being deleted, and what it made with it"},
		},
		"an image that cannot be run": {
			state: serving(t, func(s *state) { s.applied = false }),
			cause: reconcile.TerminalError(errors.New("spec.image is foreign")),
			want:  conditionWords{"False", "InvalidSpec", "spec.image is foreign"},
		},
		"two children cannot be written": {
			state: serving(t),
			cause: errors.Join(errors.New("apply a: no"), errors.New("apply b: no")),
			want:  conditionWords{"False", "ReconciliationFailed", "apply a: no; apply b: no"},
		},
		"being deleted": {
			state: serving(t, func(s *state) { s.server.DeletionTimestamp = &now }),
			want:  conditionWords{"False", "Deleting", "the PolicyServer is being deleted"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			setStatus(tc.state, image, tc.cause)
			if diff := cmp.Diff(tc.want, words(tc.state, policiesv1.ConditionReady)); diff != "" {
				t.Errorf("unexpected Ready (-want +got):\n%s", diff)
			}
		})
	}
}

func waiting(name, reason, message string) corev1.Pod {
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}},
		}}},
	}
}

func TestUpstreamsConditions(t *testing.T) {
	succeeded := conditionWords{Status: "True", Reason: "ReconciliationSucceeded"}
	tests := map[string]struct {
		change func(*state)
		want   map[string]conditionWords
	}{
		"all in place": {func(*state) {}, nil},
		"a child fails, and the last condition with it": {
			func(s *state) { s.note(policiesv1.ConditionConfigMapReconciled, errors.New("apply x: no")) },
			map[string]conditionWords{
				policiesv1.ConditionConfigMapReconciled: {"False", "ReconciliationFailed", "apply x: no"},
				policiesv1.ConditionServiceReconciled:   {"False", "ReconciliationFailed", "the Service is in place; something before it is not"},
			},
		},
		"the Service fails alone": {
			func(s *state) { s.note(policiesv1.ConditionServiceReconciled, errors.New("apply x: no")) },
			map[string]conditionWords{
				policiesv1.ConditionServiceReconciled: {"False", "ReconciliationFailed", "apply x: no"},
			},
		},
		"the certificate is on its way": {
			func(s *state) { s.certificate = certs.Progress{Message: "waiting for cert-manager to issue x"} },
			map[string]conditionWords{
				policiesv1.ConditionCertSecretReconciled: {"False", "WaitingForCertificate", "waiting for cert-manager to issue x"},
				policiesv1.ConditionServiceReconciled:    {"False", "ReconciliationFailed", "the Service is in place; something before it is not"},
			},
		},
		"a renewal waits, which is no failure": {
			func(s *state) { s.certificate.Message = "waiting until it is trusted" },
			map[string]conditionWords{
				policiesv1.ConditionCertSecretReconciled: {"True", "ReconciliationSucceeded", "waiting until it is trusted"},
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := serving(t, tc.change)
			setStatus(s, image, nil)
			for _, conditionType := range childConditions {
				want, ok := tc.want[conditionType]
				if !ok {
					want = succeeded
				}
				if diff := cmp.Diff(want, words(s, conditionType)); diff != "" {
					t.Errorf("unexpected %s (-want +got):\n%s", conditionType, diff)
				}
			}
		})
	}
}

func TestWebhooksCleanedUp(t *testing.T) {
	now := metav1.NewTime(time.Now())
	tests := map[string]struct {
		change func(*state)
		want   conditionWords
	}{
		"while it stays there is no such condition": {func(*state) {}, conditionWords{}},
		"waiting": {
			func(s *state) { s.server.DeletionTimestamp, s.webhooks = &now, []string{"kw.cap.a", "kw.cap.b"} },
			conditionWords{"False", "ReconciliationFailed", "Waiting for webhook cleanup of policies: kw.cap.a, kw.cap.b"},
		},
		"none left": {
			func(s *state) { s.server.DeletionTimestamp = &now },
			conditionWords{"True", "ReconciliationSucceeded", ""},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := serving(t, tc.change)
			setStatus(s, image, nil)
			if diff := cmp.Diff(tc.want, words(s, policiesv1.ConditionPolicyWebhooksCleanedUp)); diff != "" {
				t.Errorf("unexpected condition (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCounts(t *testing.T) {
	type counts struct {
		Replicas policiesv1.PolicyServerReplicas
		Policies policiesv1.PolicyCounts
	}
	tests := map[string]struct {
		change func(*state)
		want   counts
	}{
		"all is well": {func(*state) {}, counts{
			policiesv1.PolicyServerReplicas{Wanted: 2, Ready: 2, UpToDate: 2}, policiesv1.PolicyCounts{Total: 2, Enforced: 2},
		}},
		"an unready replica does not count": {unready(1), counts{
			policiesv1.PolicyServerReplicas{Wanted: 2, Ready: 1, UpToDate: 1}, policiesv1.PolicyCounts{Total: 2, Enforced: 2},
		}},
		"a refusal": {refusing(t, "kw.cap.a"), counts{
			policiesv1.PolicyServerReplicas{Wanted: 2, Ready: 2, UpToDate: 1}, policiesv1.PolicyCounts{Total: 2, Enforced: 1, Failed: 1},
		}},
		"a change is on its way": {
			func(s *state) { s.policies = contract.Policies{"kw.cap.a": {Module: "c"}, "kw.cap.b": {Module: "b"}} },
			counts{policiesv1.PolicyServerReplicas{Wanted: 2, Ready: 2}, policiesv1.PolicyCounts{Total: 2, Enforced: 1}},
		},
		"a policy that no entry can be made of": {func(s *state) { s.unrendered = 1 }, counts{
			policiesv1.PolicyServerReplicas{Wanted: 2, Ready: 2, UpToDate: 2}, policiesv1.PolicyCounts{Total: 3, Enforced: 2, Failed: 1},
		}},
		"no replicas": {func(s *state) { s.replicas = nil }, counts{
			policiesv1.PolicyServerReplicas{Wanted: 2}, policiesv1.PolicyCounts{Total: 2},
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := serving(t, tc.change)
			setStatus(s, image, nil)
			got := counts{*s.server.Status.Replicas, *s.server.Status.Policies}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("unexpected counts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTransitions(t *testing.T) {
	condition := func(status metav1.ConditionStatus, reason string) *metav1.Condition {
		return &metav1.Condition{Status: status, Reason: reason}
	}
	tests := map[string]struct {
		before, after *metav1.Condition
		want          string
	}{
		"starting":               {nil, condition("False", "WaitingForCertificate"), ""},
		"still starting":         {condition("False", "WaitingForCertificate"), condition("False", "WaitingForReplicas"), ""},
		"ready":                  {condition("False", "WaitingForReplicas"), condition("True", "Serving"), "Normal"},
		"still ready":            {condition("True", "Serving"), condition("True", "PoliciesFailed"), ""},
		"a replica is lost":      {condition("True", "Serving"), condition("False", "WaitingForReplicas"), "Warning"},
		"the spec is at fault":   {nil, condition("False", "InvalidSpec"), "Warning"},
		"it still is":            {condition("False", "InvalidSpec"), condition("False", "InvalidSpec"), ""},
		"there is no Kubewarden": {nil, condition("False", "NoInstallation"), "Warning"},
		"going":                  {condition("True", "Serving"), condition("False", "Deleting"), ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := transitionOf(tc.before, tc.after); got != tc.want {
				t.Errorf("event = %q, want %q", got, tc.want)
			}
		})
	}
}

func TestStatusNamesTheImage(t *testing.T) {
	for want, spec := range map[string]string{image: "", "mirror.test/operator:v2": "mirror.test/operator:v2"} {
		t.Run(fmt.Sprintf("spec.image %q", spec), func(t *testing.T) {
			s := serving(t, func(s *state) { s.server.Spec.Image = spec })
			setStatus(s, image, nil)
			if got := s.server.Status.Image; got != want {
				t.Errorf("status.image = %q, want %q", got, want)
			}
		})
	}
}
