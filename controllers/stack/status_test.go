package stack

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/certs"
)

// enforcing is the state in which all is well; each case takes something away from it.
func enforcing(changes ...func(*state)) *state {
	s := newState(&operatorv1alpha1.Kubewarden{ObjectMeta: metav1.ObjectMeta{Name: "kubewarden", Generation: 3}})
	s.observed = true
	s.servers = []policiesv1.PolicyServer{server("default", metav1.ConditionTrue), server("other", metav1.ConditionFalse)}
	s.policies = []policiesv1.Policy{policy(policiesv1.PolicyStateActive), policy(policiesv1.PolicyStatePending)}
	certs.SetCertificatesReady(s.kubewarden, certs.Progress{Ready: true, Reason: operatorv1alpha1.ReasonIssued})
	for _, change := range changes {
		change(s)
	}
	return s
}

func server(name string, ready metav1.ConditionStatus) policiesv1.PolicyServer {
	server := policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: name}}
	server.Status.Conditions = []metav1.Condition{{
		Type: policiesv1.ConditionReady, Status: ready, Message: "1 of 2 replicas ready",
	}}
	return server
}

func policy(stage policiesv1.PolicyState) policiesv1.Policy {
	policy := &policiesv1.ClusterAdmissionPolicy{}
	policy.Status.PolicyStatus = stage
	return policy
}

type conditionWords struct {
	Status  metav1.ConditionStatus
	Reason  string
	Message string
}

func TestReady(t *testing.T) {
	now := metav1.Now()
	finalized := func(object metav1.Object) { object.SetFinalizers([]string{policiesv1.Finalizer}) }
	tests := map[string]struct {
		state *state
		cause error
		want  conditionWords
	}{
		"enforcing": {
			state: enforcing(),
			want:  conditionWords{"True", "Enforcing", "1 of 2 policies active, 1 of 2 policy servers ready"},
		},
		"with a default PolicyServer of the user": {
			state: enforcing(func(s *state) { s.foreignDefault = true }),
			want: conditionWords{"True", "Enforcing", "1 of 2 policies active, 1 of 2 policy servers ready; " +
				"PolicyServer default was not made by this operator and is used as it is"},
		},
		"without a default PolicyServer, which is not wanted": {
			state: enforcing(func(s *state) {
				s.kubewarden.Spec.DefaultPolicyServer.Enabled = new(bool)
				s.servers = s.servers[1:]
			}),
			want: conditionWords{"True", "Enforcing", "1 of 2 policies active, 0 of 1 policy servers ready"},
		},
		"suspended": {
			state: enforcing(func(s *state) { s.kubewarden.Spec.Enforcement = operatorv1alpha1.EnforcementSuspended }),
			want: conditionWords{"False", "Suspended", "spec.enforcement is Suspended: no policy is enforced, " +
				"and there is no webhook; set it to Enabled to enforce again"},
		},
		"the authority is not asked for yet": {
			state: enforcing(func(s *state) { s.kubewarden.Status.Conditions = nil }),
			want:  conditionWords{"False", "CertificatesNotReady", "the certificate authority is not asked for yet"},
		},
		"nobody issues": {
			state: enforcing(func(s *state) {
				certs.SetCertificatesReady(s.kubewarden, certs.Progress{
					Reason: operatorv1alpha1.ReasonCertManagerNotFound, Message: "cert-manager is not installed",
				})
			}),
			want: conditionWords{"False", "CertificatesNotReady", "cert-manager is not installed"},
		},
		"the default PolicyServer is not ready": {
			state: enforcing(func(s *state) { s.servers[0] = server("default", metav1.ConditionFalse) }),
			want:  conditionWords{"False", "DefaultPolicyServerNotReady", "PolicyServer default: 1 of 2 replicas ready"},
		},
		"the default PolicyServer has no status": {
			state: enforcing(func(s *state) { s.servers[0].Status.Conditions = nil }),
			want:  conditionWords{"False", "DefaultPolicyServerNotReady", "PolicyServer default is not looked at yet"},
		},
		"the default PolicyServer is missing": {
			state: enforcing(func(s *state) { s.servers = s.servers[1:] }),
			want:  conditionWords{"False", "DefaultPolicyServerNotReady", "PolicyServer default is not created yet"},
		},
		"something cannot be written": {
			state: enforcing(),
			cause: errors.Join(errors.New("apply a: no"), errors.New("apply b: no")),
			want:  conditionWords{"False", "ReconciliationFailed", "apply a: no; apply b: no"},
		},
		"uninstalling": {
			state: enforcing(func(s *state) {
				s.kubewarden.DeletionTimestamp = &now
				s.webhooks, s.deployments = 3, 1
				finalized(s.policies[0])
				finalized(&s.servers[0])
			}),
			want: conditionWords{"False", "Deleting", "the installation is being removed, waiting for webhook configurations (3), " +
				"policies with our finalizer (1), policy servers with our finalizer (1), deployments of policy servers (1)"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			setStatus(tc.state, []string{"nodes"}, tc.cause)
			got := conditionWords{}
			for _, condition := range tc.state.kubewarden.Status.Conditions {
				if condition.Type == operatorv1alpha1.ConditionReady && condition.ObservedGeneration == 3 {
					got = conditionWords{condition.Status, condition.Reason, condition.Message}
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("unexpected Ready (-want +got):\n%s", diff)
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
		"coming up":       {nil, condition("False", "CertificatesNotReady"), ""},
		"still coming up": {condition("False", "CertificatesNotReady"), condition("False", "DefaultPolicyServerNotReady"), ""},
		"enforcing":       {condition("False", "DefaultPolicyServerNotReady"), condition("True", "Enforcing"), "Normal"},
		"still enforcing": {condition("True", "Enforcing"), condition("True", "Enforcing"), ""},
		"suspended":       {condition("True", "Enforcing"), condition("False", "Suspended"), "Warning"},
		"server lost":     {condition("True", "Enforcing"), condition("False", "DefaultPolicyServerNotReady"), "Warning"},
		"going":           {condition("True", "Enforcing"), condition("False", "Deleting"), "Normal"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := transitionOf(tc.before, tc.after); got != tc.want {
				t.Errorf("event = %q, want %q", got, tc.want)
			}
		})
	}
}
