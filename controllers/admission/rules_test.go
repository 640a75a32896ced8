package admission

import (
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

func TestRules(t *testing.T) {
	type words = []string
	create := []admissionregistrationv1.OperationType{admissionregistrationv1.Create}
	everyAndCreate := append([]admissionregistrationv1.OperationType{admissionregistrationv1.OperationAll}, create...)
	noOperation := []admissionregistrationv1.OperationType{""}
	core, v1 := words{""}, words{"v1"}
	tests := map[string]struct {
		rules []policiesv1.Rule
		want  []string
	}{
		"no rules at all":                         {nil, words{"spec.rules: Required"}},
		"plain":                                   {[]policiesv1.Rule{rule(create, core, v1, words{"pods", "pods/exec"})}, nil},
		"wildcards alone":                         {[]policiesv1.Rule{rule(everyAndCreate[:1], words{"*"}, words{"*"}, words{"*/*"})}, nil},
		"an operation beside every operation":     {[]policiesv1.Rule{rule(everyAndCreate, core, v1, words{"pods"})}, words{"spec.rules[0].operations: Invalid"}},
		"a group beside every group":              {[]policiesv1.Rule{rule(create, words{"*", "apps"}, v1, words{"pods"})}, words{"spec.rules[0].apiGroups: Invalid"}},
		"a version beside every version":          {[]policiesv1.Rule{rule(create, core, words{"v1", "*"}, words{"pods"})}, words{"spec.rules[0].apiVersions: Invalid"}},
		"a resource beside everything":            {[]policiesv1.Rule{rule(create, core, v1, words{"*/*", "pods"})}, words{"spec.rules[0].resources[1]: Invalid"}},
		"a resource beside every resource":        {[]policiesv1.Rule{rule(create, core, v1, words{"*", "pods"})}, words{"spec.rules[0].resources[1]: Invalid"}},
		"a subresource beside every resource":     {[]policiesv1.Rule{rule(create, core, v1, words{"*", "pods/exec"})}, nil},
		"a subresource beside all of that kind":   {[]policiesv1.Rule{rule(create, core, v1, words{"pods/*", "pods/exec"})}, words{"spec.rules[0].resources[1]: Invalid"}},
		"a subresource beside that of everything": {[]policiesv1.Rule{rule(create, core, v1, words{"*/scale", "deployments/scale"})}, words{"spec.rules[0].resources[1]: Invalid"}},
		"a resource beside its subresources":      {[]policiesv1.Rule{rule(create, core, v1, words{"pods", "pods/*"})}, nil},
		"no operation":                            {[]policiesv1.Rule{rule(nil, core, v1, words{"pods"})}, words{"spec.rules[0].operations: Required value: a value must be specified"}},
		"no version":                              {[]policiesv1.Rule{rule(create, core, nil, words{"pods"})}, words{"spec.rules[0]: Required value: apiVersions and resources must have"}},
		"no resource":                             {[]policiesv1.Rule{rule(create, core, v1, nil)}, words{"spec.rules[0]: Required value: apiVersions and resources must have"}},
		"an empty resource":                       {[]policiesv1.Rule{rule(create, core, v1, words{"pods", ""})}, words{"spec.rules[0].resources[1]: Required value: must be non-empty"}},
		"an empty version":                        {[]policiesv1.Rule{rule(create, core, words{""}, words{"pods"})}, words{"spec.rules[0].apiVersions[0]: Required value"}},
		"an empty operation":                      {[]policiesv1.Rule{rule(noOperation, core, v1, words{"pods"})}, words{"spec.rules[0].operations[0]: Required value"}},
		"the second rule is at fault": {
			[]policiesv1.Rule{rule(create, core, v1, words{"pods"}), rule(create, core, v1, words{"*", "pods"})},
			words{"spec.rules[1].resources[1]: Invalid"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			policy := &policiesv1.ClusterAdmissionPolicy{}
			policy.Spec.Rules = tc.rules
			got := Policy(policy)
			checkErrors(t, got, tc.want...)
		})
	}
}

func rule(operations []admissionregistrationv1.OperationType, groups, versions, resources []string) policiesv1.Rule {
	return policiesv1.Rule{Operations: operations, APIGroups: groups, APIVersions: versions, Resources: resources}
}

func podRules() []policiesv1.Rule {
	create := []admissionregistrationv1.OperationType{admissionregistrationv1.Create}
	return []policiesv1.Rule{rule(create, []string{""}, []string{"v1"}, []string{"pods"})}
}

// checkErrors holds that errors are as many as wanted, and begin as wanted, in order.
func checkErrors(t *testing.T, got field.ErrorList, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got errors %v, want %v", got, want)
	}
	for i := range want {
		if !strings.HasPrefix(got[i].Error(), want[i]) {
			t.Errorf("got error %q, want it to begin with %q", got[i], want[i])
		}
	}
}
