package stack

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

func TestRecommendedPoliciesApplied(t *testing.T) {
	const foreign = "policies with these names were not made by this operator and are left alone, rename or delete them: " +
		"ClusterAdmissionPolicy drop-capabilities, no-privileged-pod"
	tests := map[string]struct {
		change func(*state)
		want   conditionWords
		counts *operatorv1alpha1.PolicyCounts
		ready  string
	}{
		"not wanted": {
			change: func(s *state) { s.kubewarden.Spec.RecommendedPolicies.Enabled = false },
			want:   conditionWords{"False", "Disabled", "spec.recommendedPolicies.enabled is false"},
		},
		"applied": {
			want:   conditionWords{"True", "Applied", "6 policies in mode monitor"},
			counts: &operatorv1alpha1.PolicyCounts{Total: 1, Active: 1},
		},
		"some are the user's": {
			change: func(s *state) { s.recommended.foreign = []string{"drop-capabilities", "no-privileged-pod"} },
			want:   conditionWords{"False", "ForeignPolicies", foreign},
			counts: &operatorv1alpha1.PolicyCounts{Total: 1, Active: 1},
			ready:  "; " + foreign,
		},
		"some are replaced": {
			change: func(s *state) { s.recommended.replacing = []string{"drop-capabilities"} },
			want: conditionWords{
				"False", "Replacing",
				"these policies are deleted and made anew, since no policy goes from protect to monitor: drop-capabilities",
			},
			counts: &operatorv1alpha1.PolicyCounts{Total: 1, Active: 1},
		},
		"something cannot be written": {
			change: func(s *state) { s.recommended.failed = errors.New("apply ClusterAdmissionPolicy a: no") },
			want:   conditionWords{"False", "ReconciliationFailed", "apply ClusterAdmissionPolicy a: no"},
			counts: &operatorv1alpha1.PolicyCounts{Total: 1, Active: 1},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := auditing(func(s *state) {
				s.kubewarden.UID = "one"
				s.kubewarden.Spec.RecommendedPolicies = operatorv1alpha1.RecommendedPolicies{Enabled: true}
				s.recommended.synced = true
				s.policies = append(s.policies, recommendedOf(s.kubewarden, "drop-capabilities"), recommendedOf(nil, "no-privileged-pod"))
			})
			if tc.change != nil {
				tc.change(s)
			}
			setStatus(s, nil, nil)
			if diff := cmp.Diff(tc.want, conditionOf(s, operatorv1alpha1.ConditionRecommendedPoliciesApplied)); diff != "" {
				t.Errorf("unexpected RecommendedPoliciesApplied (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.counts, s.kubewarden.Status.RecommendedPolicies); diff != "" {
				t.Errorf("unexpected counts (-want +got):\n%s", diff)
			}
			ready := conditionWords{"True", "Enforcing", "3 of 4 policies active, 1 of 2 policy servers ready" + tc.ready}
			if diff := cmp.Diff(ready, conditionOf(s, operatorv1alpha1.ConditionReady)); diff != "" {
				t.Errorf("unexpected Ready (-want +got):\n%s", diff)
			}
		})
	}
}

// recommendedOf is an active policy that the Kubewarden controls, or nobody.
func recommendedOf(kubewarden *operatorv1alpha1.Kubewarden, name string) policiesv1.Policy {
	policy := &policiesv1.ClusterAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
	policy.Status.PolicyStatus = policiesv1.PolicyStateActive
	if kubewarden != nil {
		policy.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(kubewarden, operatorv1alpha1.GroupVersion.WithKind("Kubewarden"))}
	}
	return policy
}
