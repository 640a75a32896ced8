package stack

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/certs"
)

// saying gives an object the condition Ready of its generation.
func saying(status metav1.ConditionStatus, reason string) []metav1.Condition {
	return []metav1.Condition{{Type: policiesv1.ConditionReady, Status: status, Reason: reason, ObservedGeneration: 2}}
}

// installed has one server and these policies, which are named p0, p1 and so on.
func installed(serverReason string, policyReasons ...string) *state {
	ready := map[string]metav1.ConditionStatus{
		policiesv1.ReasonServing: metav1.ConditionTrue, policiesv1.ReasonPoliciesFailed: metav1.ConditionTrue, policiesv1.ReasonEnforced: metav1.ConditionTrue,
	}
	status := func(reason string) metav1.ConditionStatus {
		if ready[reason] != "" {
			return ready[reason]
		}
		return metav1.ConditionFalse
	}
	return enforcing(func(s *state) {
		server := policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: "default", Generation: 2}}
		server.Status.Conditions = saying(status(serverReason), serverReason)
		s.servers, s.policies = []policiesv1.PolicyServer{server}, nil
		for i, reason := range policyReasons {
			policy := &policiesv1.AdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: fmt.Sprintf("p%d", i), Generation: 2}}
			policy.Kind = "AdmissionPolicy"
			policy.Status.Conditions = saying(status(reason), reason)
			s.policies = append(s.policies, policy)
		}
	})
}

func TestProgressingAndDegraded(t *testing.T) {
	settled := conditionWords{"False", "Settled", "nothing is under way"}
	nothing := conditionWords{"False", "NothingFailed", "nothing needs anybody"}
	authority := func(s *state, progress certs.Progress) *state {
		certs.SetCertificatesReady(s.kubewarden, progress)
		return s
	}
	stale := installed(policiesv1.ReasonServing, policiesv1.ReasonEnforced)
	stale.policies[0].SetGeneration(3)
	unable := installed(policiesv1.ReasonServing, policiesv1.ReasonEnforced, "InvalidModule")
	for _, policy := range unable.policies {
		policy.GetStatus().Conditions = append(policy.GetStatus().Conditions, metav1.Condition{
			Type: policiesv1.ConditionContextReadable, Status: metav1.ConditionFalse, Reason: policiesv1.ReasonMissingRights,
		})
	}
	for name, tc := range map[string]struct {
		state                 *state
		cause                 error
		progressing, degraded conditionWords
	}{
		"all is well":                {installed(policiesv1.ReasonServing, policiesv1.ReasonEnforced), nil, settled, nothing},
		"what somebody wants so":     {installed(policiesv1.ReasonScaledToZero, policiesv1.ReasonPolicyServerScaledToZero, policiesv1.ReasonSuspended), nil, settled, nothing},
		"policies that a server has": {installed(policiesv1.ReasonPoliciesFailed), nil, settled, nothing},
		"a server comes up": {
			installed(policiesv1.ReasonWaitingForReplicas, policiesv1.ReasonPolicyServerNotReady), nil,
			conditionWords{"True", "PolicyServersStarting", "policy servers that come up (1): PolicyServer default: WaitingForReplicas"},
			nothing,
		},
		"a server whose replicas fail": {
			installed(policiesv1.ReasonReplicasFailing), nil, settled,
			conditionWords{"True", "PolicyServersFailing", "policy servers that need somebody (1): PolicyServer default: ReplicasFailing"},
		},
		"a policy is loaded": {
			installed(policiesv1.ReasonServing, policiesv1.ReasonLoading), nil,
			conditionWords{"True", "PoliciesLoading", "policies that are being brought into force (1): AdmissionPolicy team/p0: Loading"},
			nothing,
		},
		"a policy that nobody looked at": {
			stale, nil,
			conditionWords{"True", "PoliciesLoading", "policies that are being brought into force (1): AdmissionPolicy team/p0: not looked at yet"},
			nothing,
		},
		"policies that are refused, one that is loaded": {
			installed(policiesv1.ReasonServing, "InvalidSettings", "Loading", "FetchFailed", "PolicyServerNotFound", "InvalidModule", "Unverified"), nil,
			conditionWords{"True", "PoliciesLoading", "policies that are being brought into force (1): AdmissionPolicy team/p1: Loading"},
			conditionWords{"True", "PoliciesFailing", "policies that are not enforced as their specs say (5): AdmissionPolicy team/p0: InvalidSettings; " +
				"AdmissionPolicy team/p2: FetchFailed; AdmissionPolicy team/p3: PolicyServerNotFound; and 2 more"},
		},
		"policies that may not read what they declare": {
			unable, nil, settled,
			conditionWords{"True", "PoliciesFailing", "policies that are not enforced as their specs say (2): AdmissionPolicy team/p0: MissingRights; " +
				"AdmissionPolicy team/p1: InvalidModule"},
		},
		"an issuer is waited for": {
			authority(installed(policiesv1.ReasonServing), certs.Progress{Reason: operatorv1alpha1.ReasonWaitingForIssuer, Message: "soon"}), nil,
			conditionWords{"True", "WaitingForIssuer", "soon"},
			nothing,
		},
		"there is no issuer": {
			authority(installed(policiesv1.ReasonServing), certs.Progress{Reason: operatorv1alpha1.ReasonCertManagerNotFound, Message: "not installed"}), nil,
			settled,
			conditionWords{"True", "CertManagerNotFound", "not installed"},
		},
		"something cannot be written": {
			installed(policiesv1.ReasonServing), errors.New("apply a: no"), settled, conditionWords{"True", "ReconciliationFailed", "apply a: no"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			setStatus(tc.state, nil, tc.cause)
			for kind, want := range map[string]conditionWords{
				operatorv1alpha1.ConditionProgressing: tc.progressing, operatorv1alpha1.ConditionDegraded: tc.degraded,
			} {
				got := apimeta.FindStatusCondition(tc.state.kubewarden.Status.Conditions, kind)
				if got == nil {
					t.Fatalf("no condition %s", kind)
				}
				if diff := cmp.Diff(want, conditionWords{got.Status, got.Reason, got.Message}); diff != "" {
					t.Errorf("unexpected %s (-want +got):\n%s", kind, diff)
				}
			}
		})
	}
}

func TestPoliciesAreCountedByState(t *testing.T) {
	s := enforcing(func(s *state) {
		s.policies = nil
		for state, count := range map[policiesv1.PolicyState]int{
			policiesv1.PolicyStateActive: 4, policiesv1.PolicyStatePending: 3, policiesv1.PolicyStateScheduled: 2, "": 1,
		} {
			for range count {
				s.policies = append(s.policies, policy(state))
			}
		}
	})
	setStatus(s, nil, nil)
	want := &operatorv1alpha1.PolicyCounts{Total: 10, Active: 4, Pending: 3, Scheduled: 2, Unscheduled: 1}
	if diff := cmp.Diff(want, s.kubewarden.Status.Policies); diff != "" {
		t.Errorf("unexpected counts (-want +got):\n%s", diff)
	}
}
