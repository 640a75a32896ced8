package scan

import (
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewarden/kubewarden-operator/audit/plan"
	"github.com/kubewarden/kubewarden-operator/matching"
)

// An object is decoded only where a match condition reads it; then it reads all of it.
func TestConditionsSeeTheWholeObject(t *testing.T) {
	object := map[string]any{
		"metadata": map[string]any{"name": "web", "namespace": "team-a", "uid": "uid-1", "labels": map[string]any{"app": "web"}},
		"spec":     map[string]any{"nodeName": "one", "priority": 7},
	}
	for name, tc := range map[string]struct {
		operation matching.Operation
		condition string
		labels    map[string]string
		want      plan.Reason
		decoded   bool
	}{
		"no condition":               {operation: matching.Create},
		"labels are selected":        {operation: matching.Create, labels: map[string]string{"app": "web"}},
		"labels are not selected":    {operation: matching.Create, labels: map[string]string{"app": "db"}, want: plan.ReasonObjectSelector},
		"about the request":          {operation: matching.Create, condition: `request.name == "web" && request.namespace == "team-a"`},
		"not about this request":     {operation: matching.Create, condition: `request.name == "db"`, want: plan.ReasonMatchCondition},
		"about the object":           {operation: matching.Create, condition: `object.spec.nodeName == "one" && object.spec.priority == 7 && object.kind == "Pod" && object.apiVersion == "v1"`, decoded: true},
		"not about this object":      {operation: matching.Update, condition: `object.spec.nodeName == "two"`, want: plan.ReasonMatchCondition, decoded: true},
		"about the one before":       {operation: matching.Delete, condition: `oldObject.spec.nodeName == "one"`, decoded: true},
		"about labels of the object": {operation: matching.Create, condition: `object.metadata.labels.app == "web"`, decoded: true},
	} {
		t.Run(name, func(t *testing.T) {
			webhook := matching.Webhook{Name: "one", ObjectSelector: &metav1.LabelSelector{MatchLabels: tc.labels}, Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.OperationAll},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{"*"}, APIVersions: []string{"*"}, Resources: []string{"*"}},
			}}}
			if tc.condition != "" {
				webhook.MatchConditions = []admissionregistrationv1.MatchCondition{{Name: "condition", Expression: tc.condition}}
			}
			compiled, err := matching.NewCompiler().Compile(webhook)
			if err != nil {
				t.Fatal(err)
			}
			r := &run{Scanner: &Scanner{}}
			m := r.matcher(pods, itemOf(t, pods, object), nil)
			for range 2 {
				got := m.decide(t.Context(), plan.Question{Matcher: compiled, Operation: tc.operation})
				if got.err != nil || got.unknown != nil || got.why != tc.want {
					t.Errorf("got %+v, want %q", got, tc.want)
				}
			}
			if (m.whole != nil) != tc.decoded {
				t.Errorf("the object is decoded: %t, want %t", m.whole != nil, tc.decoded)
			}
		})
	}
}
