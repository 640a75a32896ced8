package admission

import (
	"fmt"
	"testing"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

func TestMatchConditions(t *testing.T) {
	type conditions = []policiesv1.MatchCondition
	many := make(conditions, 0, 65)
	for i := range 65 {
		many = append(many, policiesv1.MatchCondition{Name: fmt.Sprintf("c%d", i), Expression: "true"})
	}
	at := "spec.matchConditions[0].expression: "
	tests := map[string]struct {
		conditions conditions
		want       []string
	}{
		"none": {},
		"all that there is to see": {conditions{
			{Name: "object", Expression: "object.metadata.name != oldObject.metadata.name"},
			{Name: "request", Expression: "request.operation == 'CREATE' && request.userInfo.username != 'a'"},
			{Name: "namespace", Expression: "namespaceObject.metadata.name.startsWith('a')"},
			{Name: "authorizer", Expression: "authorizer.group('').resource('pods').check('get').allowed()"},
		}, nil},
		"blank":           {conditions{{Name: "a", Expression: " \n"}}, []string{at + "Required value"}},
		"broken":          {conditions{{Name: "a", Expression: "object.spec +"}}, []string{at + `Invalid value: "object.spec +": compilation failed: `}},
		"unknown word":    {conditions{{Name: "a", Expression: "params.x"}}, []string{at + `Invalid value: "params.x": compilation failed: `}},
		"no boolean":      {conditions{{Name: "a", Expression: "'yes'"}}, []string{at + `Invalid value: "'yes'": must evaluate to bool`}},
		"64":              {many[:64], nil},
		"65":              {many, []string{"spec.matchConditions: Too many: 65"}},
		"no name":         {conditions{{Expression: "true"}}, []string{"spec.matchConditions[0].name: Required value"}},
		"same name twice": {conditions{{Name: "a", Expression: "true"}, {Name: "a", Expression: "true"}}, []string{`spec.matchConditions[1].name: Duplicate value: "a"`}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			policy := clusterPolicy(func(p *policiesv1.ClusterAdmissionPolicy) { p.Spec.MatchConditions = tc.conditions })
			checkErrors(t, Policy(policy), tc.want...)
		})
	}
}
