package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

func rule(operations []admissionregistrationv1.OperationType, groups, versions, resources []string) policiesv1.Rule {
	return policiesv1.Rule{Operations: operations, APIGroups: groups, APIVersions: versions, Resources: resources}
}

func scoped(rule policiesv1.Rule, scope admissionregistrationv1.ScopeType) policiesv1.Rule {
	rule.Scope = &scope
	return rule
}

func TestRelaxRules(t *testing.T) {
	const (
		create = admissionregistrationv1.Create
		update = admissionregistrationv1.Update
		every  = admissionregistrationv1.OperationAll
	)
	type (
		ops     = []admissionregistrationv1.OperationType
		words   = []string
		ruleSet = []policiesv1.Rule
	)
	core, v1 := words{""}, words{"v1"}
	pods := rule(ops{create, update}, core, v1, words{"pods"})
	tests := map[string]struct {
		standing, wanted, want ruleSet
		exact                  bool
	}{
		"unchanged": {standing: ruleSet{pods}, wanted: ruleSet{pods}, want: ruleSet{pods}},
		"a further rule waits": {
			standing: ruleSet{pods},
			wanted:   ruleSet{pods, rule(ops{create}, words{"apps"}, v1, words{"deployments"})},
			want:     ruleSet{pods},
		},
		"a removed rule goes": {
			standing: ruleSet{pods, rule(ops{create}, words{"apps"}, v1, words{"deployments"})},
			wanted:   ruleSet{pods},
			want:     ruleSet{pods},
		},
		"all rules replaced: nothing of the old is wanted": {
			standing: ruleSet{pods},
			wanted:   ruleSet{rule(ops{create}, words{"apps"}, v1, words{"deployments"})},
			want:     nil,
		},
		"a removed operation goes": {
			standing: ruleSet{pods},
			wanted:   ruleSet{rule(ops{create}, core, v1, words{"pods"})},
			want:     ruleSet{rule(ops{create}, core, v1, words{"pods"})},
		},
		"every operation narrowed to one": {
			standing: ruleSet{rule(ops{every}, core, v1, words{"pods"})},
			wanted:   ruleSet{rule(ops{create}, core, v1, words{"pods"})},
			want:     ruleSet{rule(ops{create}, core, v1, words{"pods"})},
		},
		"one resource for another: the removed goes, the added waits": {
			standing: ruleSet{rule(ops{create}, core, v1, words{"pods", "services"})},
			wanted:   ruleSet{rule(ops{create}, core, v1, words{"pods", "secrets"})},
			want:     ruleSet{rule(ops{create}, core, v1, words{"pods"})},
		},
		"everything narrowed to one resource": {
			standing: ruleSet{rule(ops{create}, words{"*"}, words{"*"}, words{"*/*"})},
			wanted:   ruleSet{rule(ops{create}, core, v1, words{"pods"})},
			want:     ruleSet{rule(ops{create}, core, words{"*"}, words{"pods"})},
		},
		"every subresource narrowed to one": {
			standing: ruleSet{rule(ops{create}, core, v1, words{"pods/*"})},
			wanted:   ruleSet{rule(ops{create}, core, v1, words{"pods/exec"})},
			want:     ruleSet{rule(ops{create}, core, v1, words{"pods/exec"})},
		},
		"a wildcard covers the resource but not its subresources": {
			standing: ruleSet{rule(ops{create}, core, v1, words{"pods", "pods/exec"})},
			wanted:   ruleSet{rule(ops{create}, core, v1, words{"*"})},
			want:     ruleSet{rule(ops{create}, core, v1, words{"pods"})},
		},
		"one wanted rule covers all": {
			standing: ruleSet{rule(ops{create}, core, v1, words{"pods", "services"})},
			wanted:   ruleSet{rule(ops{every}, words{"*"}, words{"*"}, words{"*/*"})},
			want:     ruleSet{rule(ops{create}, core, v1, words{"pods", "services"})},
		},
		"another version of the same resource is no difference": {
			standing: ruleSet{rule(ops{create}, words{"apps"}, words{"v1beta1"}, words{"deployments"})},
			wanted:   ruleSet{rule(ops{create}, words{"apps"}, v1, words{"deployments"})},
			want:     ruleSet{rule(ops{create}, words{"apps"}, words{"v1beta1"}, words{"deployments"})},
		},
		"another version is a difference when the match is exact": {
			standing: ruleSet{rule(ops{create}, words{"apps"}, words{"v1beta1"}, words{"deployments"})},
			wanted:   ruleSet{rule(ops{create}, words{"apps"}, v1, words{"deployments"})},
			want:     nil,
			exact:    true,
		},
		"a narrowed scope": {
			standing: ruleSet{pods},
			wanted:   ruleSet{scoped(pods, admissionregistrationv1.NamespacedScope)},
			want:     ruleSet{scoped(pods, admissionregistrationv1.NamespacedScope)},
		},
		"another scope": {
			standing: ruleSet{scoped(pods, admissionregistrationv1.ClusterScope)},
			wanted:   ruleSet{scoped(pods, admissionregistrationv1.NamespacedScope)},
			want:     nil,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			spec := &policiesv1.AdmissionSpec{Rules: tc.standing}
			if tc.exact {
				exact := admissionregistrationv1.Exact
				spec.MatchPolicy = &exact
			}
			relax(spec, &policiesv1.AdmissionSpec{Rules: tc.wanted})
			if diff := cmp.Diff(tc.want, spec.Rules, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("unexpected rules (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRelaxFailurePolicy(t *testing.T) {
	fail, ignore := admissionregistrationv1.Fail, admissionregistrationv1.Ignore
	tests := map[string]struct {
		standing, wanted, want *admissionregistrationv1.FailurePolicyType
	}{
		"to Ignore at once":    {&fail, &ignore, &ignore},
		"from the default":     {nil, &ignore, &ignore},
		"to Fail waits":        {&ignore, &fail, &ignore},
		"to the default waits": {&ignore, nil, &ignore},
		"the default is Fail":  {nil, &fail, nil},
		"neither is set":       {nil, nil, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			spec := &policiesv1.AdmissionSpec{FailurePolicy: tc.standing}
			relax(spec, &policiesv1.AdmissionSpec{FailurePolicy: tc.wanted})
			if diff := cmp.Diff(tc.want, spec.FailurePolicy); diff != "" {
				t.Errorf("unexpected failurePolicy (-want +got):\n%s", diff)
			}
		})
	}
}
