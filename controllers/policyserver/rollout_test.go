package policyserver

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

const certificate = "0123abcd"

// rolling makes the server one of upstream's contract whose roll-out is complete.
func rolling(s *state) {
	s.rollout = rollout{wanted: true, certificate: certificate}
	for i := range s.replicas {
		s.replicas[i].Silent = true
		s.replicas[i].Report.ServingCertificate = certificate
	}
}

// behind takes the first replica back to the configuration before.
func behind(s *state) { s.replicas[0].Report.ConfigRevision = "0ther" }

func TestReadyByRollout(t *testing.T) {
	tests := map[string]struct {
		state *state
		want  conditionWords
	}{
		"complete": {
			state: serving(t, rolling),
			want:  conditionWords{"True", "Serving", "2 of 2 replicas ready; 2 of 2 policies enforced"},
		},
		"an old replica is still there": {
			state: serving(t, rolling, behind),
			want: conditionWords{
				"False", "WaitingForReplicas",
				"2 of 2 replicas ready; 1 of 2 replicas were started with the configuration as it is now",
			},
		},
		"one that presents the certificate of before": {
			state: serving(t, rolling, func(s *state) { s.replicas[1].Report.ServingCertificate = "0ld" }),
			want: conditionWords{
				"False", "WaitingForReplicas",
				"2 of 2 replicas ready; 1 of 2 replicas were started with the configuration as it is now",
			},
		},
		"one that is on its way out does not count": {
			state: serving(t, rolling, behind, func(s *state) {
				s.replicas[0].Terminating, s.replicas[0].Ready = true, false
				one := int32(1)
				s.server.Spec.Replicas = &one
			}),
			want: conditionWords{"True", "Serving", "1 of 1 replicas ready; 2 of 2 policies enforced"},
		},
		"one of our own contract, which is to be replaced": {
			state: serving(t, rolling, func(s *state) { s.replicas[0].Silent = false }),
			want: conditionWords{
				"False", "WaitingForReplicas",
				"2 of 2 replicas ready; 1 of 2 replicas were started with the configuration as it is now",
			},
		},
		"a new replica does not come up": {
			state: serving(t, rolling, behind, func(s *state) {
				s.pods = []corev1.Pod{waiting("pod-c", "CrashLoopBackOff", "back-off 10s")}
				s.deployment.Status.Conditions = []appsv1.DeploymentCondition{
					{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse},
				}
			}),
			want: conditionWords{
				"False", "ReplicasFailing",
				"2 of 2 replicas ready; 1 of 2 replicas were started with the configuration as it is now; Pod pod-c: CrashLoopBackOff: back-off 10s",
			},
		},
		"a server that reports rolls nothing": {
			state: serving(t, behind),
			want:  conditionWords{"True", "Serving", "2 of 2 replicas ready; 2 of 2 policies enforced"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			setStatus(tc.state, image, nil)
			if diff := cmp.Diff(tc.want, words(tc.state, policiesv1.ConditionReady)); diff != "" {
				t.Errorf("Ready (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCertificateThatAPodWouldPresent(t *testing.T) {
	started := &appsv1.Deployment{}
	started.Spec.Template.Annotations = map[string]string{"operator.kubewarden.io/started-with": `{"servingCertificate":"0ld"}`}
	tests := map[string]struct {
		mounted    string
		deployment *appsv1.Deployment
		want       string
	}{
		"the mounted one":                           {mounted: "new", deployment: started, want: "new"},
		"none yet, and no Pods":                     {want: ""},
		"it was deleted, Pods have it still":        {deployment: started, want: "0ld"},
		"it was deleted, Pods of our own are there": {deployment: &appsv1.Deployment{}, want: "unknown"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := &state{deployment: tc.deployment}
			if got := s.certificateOr(tc.mounted); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestNothingIsPinnedForServersThatDoNotReport(t *testing.T) {
	s := serving(t, rolling)
	if err := errors.Join(s.pin(), s.keepLastGood()); err != nil {
		t.Fatal(err)
	}
	for id, entry := range s.policies {
		if entry.ModuleDigest != "" {
			t.Errorf("policy %s is pinned to %q", id, entry.ModuleDigest)
		}
	}
	if len(s.lastGood) > 0 {
		t.Errorf("there is something to fall back on: %v", s.lastGood)
	}
}
