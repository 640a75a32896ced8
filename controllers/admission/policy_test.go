package admission

import (
	"strconv"
	"strings"
	"testing"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

func clusterPolicy(changes ...func(*policiesv1.ClusterAdmissionPolicy)) *policiesv1.ClusterAdmissionPolicy {
	policy := &policiesv1.ClusterAdmissionPolicy{}
	policy.Name = "labels"
	policy.Spec.Rules = podRules()
	for _, change := range changes {
		change(policy)
	}
	return policy
}

func namespacedPolicy(changes ...func(*policiesv1.AdmissionPolicy)) *policiesv1.AdmissionPolicy {
	policy := &policiesv1.AdmissionPolicy{}
	policy.Namespace, policy.Name = "shop", "labels"
	policy.Spec.Rules = podRules()
	for _, change := range changes {
		change(policy)
	}
	return policy
}

// TestNames holds upstream's words, and that a policy is told how long its name may be.
func TestNames(t *testing.T) {
	named := func(policy policiesv1.Policy, length int) policiesv1.Policy {
		policy.SetName(strings.Repeat("a", length))
		return policy
	}
	const identity = "the policy name combined with its namespace and kind produces an identity that is too long "
	tests := map[string]struct {
		policy policiesv1.Policy
		want   string
	}{
		"cluster-wide policy, longest": {named(clusterPolicy(), 225), ""},
		"cluster-wide policy": {
			named(clusterPolicy(), 226), identity + "(254 characters, max 253); the name must be at most 225 characters long",
		},
		"cluster-wide group, longest": {named(clusterGroup(), 224), ""},
		"cluster-wide group": {
			named(clusterGroup(), 230), identity + "(259 characters, max 253); the name must be at most 224 characters long",
		},
		"namespaced policy, longest": {named(namespacedPolicy(), 221), ""},
		"namespaced policy": {
			named(namespacedPolicy(), 222), identity + "(254 characters, max 253); the name must be at most 221 characters long",
		},
		"namespaced group, longest": {named(namespacedGroup(), 220), ""},
		"namespaced group": {
			named(namespacedGroup(), 221), identity + "(254 characters, max 253); the name must be at most 220 characters long",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			failures := Policy(tc.policy)
			if tc.want == "" {
				checkErrors(t, failures)
				return
			}
			checkErrors(t, failures, "metadata.name: Invalid value")
			if got := failures[0].Detail; got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// Instances of their own are for policies of the whole cluster.
func TestInstanceModes(t *testing.T) {
	const field = "metadata.annotations[kubewarden.io/instance-mode]: Unsupported value: "
	const ofCluster, ofNamespace = `: supported values: "pristine", "warm", "fresh"`, `: supported values: "pristine"`
	for name, tc := range map[string]struct {
		policy policiesv1.Policy
		want   map[string]string // what is said to a value
	}{
		"cluster-wide policy": {clusterPolicy(), map[string]string{"pristine": "", "warm": "", "fresh": "", "hot": ofCluster, "": ofCluster}},
		"cluster-wide group":  {clusterGroup(), map[string]string{"pristine": "", "warm": "", "fresh": "", "Warm": ofCluster}},
		"namespaced policy":   {namespacedPolicy(), map[string]string{"pristine": "", "warm": ofNamespace, "fresh": ofNamespace}},
		"namespaced group":    {namespacedGroup(), map[string]string{"pristine": "", "warm": ofNamespace, "fresh": ofNamespace}},
	} {
		for value, said := range tc.want {
			tc.policy.SetAnnotations(map[string]string{policiesv1.AnnotationInstanceMode: value})
			var want []string
			if said != "" {
				want = []string{field + strconv.Quote(value) + said}
			}
			t.Run(name+" "+value, func(t *testing.T) {
				checkErrors(t, Policy(tc.policy), want...)
				checkErrors(t, PolicyChange(tc.policy, tc.policy), want...)
			})
		}
	}
}

func TestTimeouts(t *testing.T) {
	const want = "spec.timeoutEvalSeconds: Invalid value: 11: timeoutEvalSeconds cannot be greater than timeoutSeconds"
	checkErrors(t, Policy(clusterPolicy(func(p *policiesv1.ClusterAdmissionPolicy) { p.Spec.TimeoutEvalSeconds = new(int32(10)) })))
	checkErrors(t, Policy(clusterPolicy(func(p *policiesv1.ClusterAdmissionPolicy) { p.Spec.TimeoutEvalSeconds = new(int32(11)) })), want)
	checkErrors(t, Policy(namespacedPolicy(func(p *policiesv1.AdmissionPolicy) {
		p.Spec.TimeoutSeconds, p.Spec.TimeoutEvalSeconds = new(int32(5)), new(int32(11))
	})), want)
}

func TestPolicyChange(t *testing.T) {
	monitor := func(p *policiesv1.ClusterAdmissionPolicy) { p.Spec.Mode = policiesv1.PolicyModeMonitor }
	onServer := func(name string) func(*policiesv1.ClusterAdmissionPolicy) {
		return func(p *policiesv1.ClusterAdmissionPolicy) { p.Spec.PolicyServer = name }
	}
	tests := map[string]struct {
		before, after *policiesv1.ClusterAdmissionPolicy
		want          []string
	}{
		"nothing":            {clusterPolicy(), clusterPolicy(), nil},
		"monitor to protect": {clusterPolicy(monitor), clusterPolicy(), nil},
		"protect to monitor": {
			clusterPolicy(), clusterPolicy(monitor),
			[]string{"spec.mode: Forbidden: field cannot transition from protect to monitor. Recreate instead."},
		},
		"the default server by name": {clusterPolicy(), clusterPolicy(onServer("default")), nil},
		"another server":             {clusterPolicy(), clusterPolicy(onServer("other")), []string{"spec.policyServer: Forbidden: the field is immutable"}},
		"no rules": {
			clusterPolicy(), clusterPolicy(func(p *policiesv1.ClusterAdmissionPolicy) { p.Spec.Rules = nil }),
			[]string{"spec.rules: Required value: a value must be specified"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			checkErrors(t, PolicyChange(tc.before, tc.after), tc.want...)
		})
	}
}
