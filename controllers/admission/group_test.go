package admission

import (
	"testing"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

func groupSpec() policiesv1.PolicyGroupSpec {
	return policiesv1.PolicyGroupSpec{
		AdmissionSpec: policiesv1.AdmissionSpec{Rules: podRules()},
		Expression:    "signed() || trusted()",
		Message:       "neither signed nor trusted",
	}
}

func clusterGroup(changes ...func(*policiesv1.ClusterAdmissionPolicyGroup)) *policiesv1.ClusterAdmissionPolicyGroup {
	group := &policiesv1.ClusterAdmissionPolicyGroup{}
	group.Name = "images"
	group.Spec.PolicyGroupSpec = groupSpec()
	group.Spec.Policies = map[string]policiesv1.ContextAwareGroupMember{"signed": {}, "trusted": {}}
	for _, change := range changes {
		change(group)
	}
	return group
}

func namespacedGroup() *policiesv1.AdmissionPolicyGroup {
	group := &policiesv1.AdmissionPolicyGroup{}
	group.Namespace, group.Name = "shop", "images"
	group.Spec.PolicyGroupSpec = groupSpec()
	group.Spec.Policies = map[string]policiesv1.GroupMember{"signed": {}, "trusted": {}}
	return group
}

func TestGroups(t *testing.T) {
	members := func(names ...string) func(*policiesv1.ClusterAdmissionPolicyGroup) {
		return func(g *policiesv1.ClusterAdmissionPolicyGroup) {
			g.Spec.Policies = map[string]policiesv1.ContextAwareGroupMember{"signed": {}, "trusted": {}}
			for _, name := range names {
				g.Spec.Policies[name] = policiesv1.ContextAwareGroupMember{}
			}
		}
	}
	timeouts := func(group *int32, signed, trusted int32) func(*policiesv1.ClusterAdmissionPolicyGroup) {
		return func(g *policiesv1.ClusterAdmissionPolicyGroup) {
			g.Spec.TimeoutSeconds = group
			g.Spec.Policies = map[string]policiesv1.ContextAwareGroupMember{
				"signed":  {GroupMember: policiesv1.GroupMember{TimeoutEvalSeconds: &signed}},
				"trusted": {GroupMember: policiesv1.GroupMember{TimeoutEvalSeconds: &trusted}},
			}
		}
	}
	const sum = "the sum of timeoutEvalSeconds of all members cannot be greater than timeoutSeconds of the group"
	tests := map[string]struct {
		change func(*policiesv1.ClusterAdmissionPolicyGroup)
		want   []string
	}{
		"plain":         {members(), nil},
		"further names": {members("_a1", "camelCase", "TRUE"), nil},
		"no members": {func(g *policiesv1.ClusterAdmissionPolicyGroup) {
			g.Spec.Policies = nil
			g.Spec.Expression = ""
		}, []string{
			"spec.policies: Required value: policy groups must have at least one policy member",
			"spec.expression: Required value",
		}},
		"a name with a dash":           {members("a-b"), []string{`spec.policies: Invalid value: "a-b": policy group member name is invalid`}},
		"a name that begins with 1":    {members("1a"), []string{`spec.policies: Invalid value: "1a": policy group member name is invalid`}},
		"a name that CEL reserves":     {members("namespace"), []string{`spec.policies: Invalid value: "namespace": policy group member name is invalid`}},
		"no message":                   {func(g *policiesv1.ClusterAdmissionPolicyGroup) { g.Spec.Message = "" }, []string{"spec.message: Required value"}},
		"timeouts that fill the group": {timeouts(new(int32(30)), 15, 15), nil},
		"timeouts over the default":    {timeouts(nil, 5, 6), []string{`spec.policies: Invalid value: "11 s together": ` + sum}},
		"one timeout over the group's": {timeouts(new(int32(5)), 6, 2), []string{
			"spec.policies[signed].timeoutEvalSeconds: Invalid value: 6: timeoutEvalSeconds of a member cannot be greater",
			`spec.policies: Invalid value: "8 s together": ` + sum,
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			checkErrors(t, Policy(clusterGroup(tc.change)), tc.want...)
		})
	}
	checkErrors(t, Policy(namespacedGroup()))
}
