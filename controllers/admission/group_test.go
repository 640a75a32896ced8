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
	expression := func(text string) func(*policiesv1.ClusterAdmissionPolicyGroup) {
		return func(g *policiesv1.ClusterAdmissionPolicyGroup) { g.Spec.Expression = text }
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
		"a name with a dash":                     {members("a-b"), []string{`spec.policies: Invalid value: "a-b": policy group member name is invalid`}},
		"a name that begins with 1":              {members("1a"), []string{`spec.policies: Invalid value: "1a": policy group member name is invalid`}},
		"a name that CEL reserves":               {members("namespace"), []string{`spec.policies: Invalid value: "namespace": policy group member name is invalid`}},
		"no expression":                          {expression(""), []string{"spec.expression: Required value: must be non-empty"}},
		"an expression with all there is":        {expression("(signed() || !trusted()) && 2 > 1 && (trusted() ? signed() : true)"), nil},
		"an expression that leaves a member out": {expression("signed()"), nil},
		"an expression with an unknown member": {expression("signed() && absent()"), []string{
			`spec.expression: Invalid value: "signed() && absent()": compilation failed: line 1, column 19: ` +
				`there is no member absent(); the members are signed(), trusted()`,
		}},
		"an expression that is no verdict": {expression("123"), []string{
			`spec.expression: Invalid value: "123": compilation failed: line 1, column 1: it must evaluate to bool, got a literal of type int; the members are`,
		}},
		"a sum":                        {expression("signed() + 1"), []string{`spec.expression: Invalid value: "signed() + 1": compilation failed: line 1, column 10: there is no operator +`}},
		"nonsense":                     {expression("signed() and trusted()"), []string{`spec.expression: Invalid value: "signed() and trusted()": compilation failed: line 1, column 10: Syntax error`}},
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
