package admission

import (
	"context"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// fakeSettings goes by an annotation of the policy, and says whether there was one before.
type fakeSettings struct{}

func (*fakeSettings) Check(_ context.Context, before, after policiesv1.Policy) (field.ErrorList, []string) {
	since := "new"
	if before != nil {
		since = "changed"
	}
	switch after.GetAnnotations()["settings"] {
	case "invalid":
		return field.ErrorList{field.Invalid(field.NewPath("spec", "settings"), field.OmitValueType{}, since+" and never good")}, nil
	case "unknown":
		return nil, []string{since + " and not checked"}
	default:
		return nil, nil
	}
}

func TestWebhooksHaveSettingsChecked(t *testing.T) {
	policy := func(settings string, change func(*policiesv1.AdmissionPolicy)) *policiesv1.AdmissionPolicy {
		policy := namespacedPolicy()
		policy.Annotations = map[string]string{"settings": settings}
		if change != nil {
			change(policy)
		}
		return policy
	}
	next := func(policy *policiesv1.AdmissionPolicy) { policy.Generation = 2 }
	group := clusterGroup()
	group.Annotations = map[string]string{"settings": "invalid"}
	for name, tc := range map[string]struct {
		path          string
		before, after runtime.Object
		wantRefusal   string
		wantWarnings  []string
	}{
		"good":             {urlPath("AdmissionPolicy"), nil, policy("good", nil), "", nil},
		"invalid":          {urlPath("AdmissionPolicy"), nil, policy("invalid", nil), "spec.settings: Invalid value: new and never good", nil},
		"not known":        {urlPath("AdmissionPolicy"), nil, policy("unknown", nil), "", []string{"new and not checked"}},
		"changed":          {urlPath("AdmissionPolicy"), policy("good", nil), policy("invalid", next), "spec.settings: Invalid value: changed and never good", nil},
		"changed, a doubt": {urlPath("AdmissionPolicy"), policy("good", nil), policy("unknown", next), "", []string{"changed and not checked"}},
		"labels alone":     {urlPath("AdmissionPolicy"), policy("invalid", nil), policy("invalid", nil), "", nil},
		"the end": {urlPath("AdmissionPolicy"), policy("good", nil), policy("invalid", func(policy *policiesv1.AdmissionPolicy) {
			policy.Generation, policy.DeletionTimestamp = 2, new(metav1.Now())
		}), "", nil},
		"a group": {urlPath("ClusterAdmissionPolicyGroup"), nil, group, "new and never good", nil},
		"what breaks a rule is not run": {urlPath("AdmissionPolicy"), nil, policy("invalid", func(policy *policiesv1.AdmissionPolicy) {
			policy.Spec.Rules = nil
		}), "spec.rules: Required value", nil},
	} {
		t.Run(name, func(t *testing.T) {
			response := ask(t, tc.path, tc.before, tc.after)
			if response.Allowed != (tc.wantRefusal == "") {
				t.Fatalf("got %+v, want it to be refused with %q", response, tc.wantRefusal)
			}
			if !response.Allowed && (!strings.Contains(response.Result.Message, tc.wantRefusal) || strings.Contains(tc.wantRefusal, "Required") && strings.Contains(response.Result.Message, "never good")) {
				t.Errorf("refused with %q, want %q", response.Result.Message, tc.wantRefusal)
			}
			if !slices.Equal(response.Warnings, tc.wantWarnings) {
				t.Errorf("got warnings %q, want %q", response.Warnings, tc.wantWarnings)
			}
		})
	}
}

func TestWebhooksWorkWithoutSettingsChecker(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := policiesv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	policy := namespacedPolicy()
	policy.Annotations = map[string]string{"settings": "invalid"}
	if response := askOf(t, Handlers(scheme, nil)[urlPath("AdmissionPolicy")], nil, policy); !response.Allowed {
		t.Errorf("got %+v, want it to be taken", response)
	}
}
