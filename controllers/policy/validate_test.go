package policy

import (
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

func TestValidate(t *testing.T) {
	type words = []string
	create := []admissionregistrationv1.OperationType{admissionregistrationv1.Create}
	everyAndCreate := append([]admissionregistrationv1.OperationType{admissionregistrationv1.OperationAll}, create...)
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
		"the second rule is at fault": {
			[]policiesv1.Rule{rule(create, core, v1, words{"pods"}), rule(create, core, v1, words{"*", "pods"})},
			words{"spec.rules[1].resources[1]: Invalid"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			policy := &policiesv1.ClusterAdmissionPolicy{}
			policy.Spec.Rules = tc.rules
			got := validate(policy)
			if len(got) != len(tc.want) {
				t.Fatalf("got %v, want errors at %v", got, tc.want)
			}
			for i, want := range tc.want {
				if !strings.HasPrefix(got[i].Error(), want) {
					t.Errorf("got %q, want it to begin with %q", got[i], want)
				}
			}
		})
	}
}
