package render_test

import (
	"encoding/json"
	"testing"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/admission"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

func recommending(wanted operatorv1alpha1.RecommendedPolicies) *operatorv1alpha1.Kubewarden {
	kubewarden := &operatorv1alpha1.Kubewarden{}
	kubewarden.Name = operatorv1alpha1.KubewardenName
	kubewarden.Spec.RecommendedPolicies = wanted
	return kubewarden
}

func TestRecommendedPolicies(t *testing.T) {
	tests := map[string]operatorv1alpha1.RecommendedPolicies{
		"recommended-monitor": {Enabled: true},
		"recommended-protect": {
			Enabled: true, Mode: policiesv1.PolicyModeProtect, Registry: "mirror.example.com:5000/proxy",
			SkipNamespaces: []string{"tools", "kube-system"},
		},
	}
	for name, wanted := range tests {
		t.Run(name, func(t *testing.T) {
			var objects []render.Object
			for _, policy := range render.RecommendedPolicies(recommending(wanted)) {
				objects = append(objects, policy)
			}
			golden(t, name, objects...)
		})
	}
	if got := render.RecommendedPolicies(recommending(operatorv1alpha1.RecommendedPolicies{})); len(got) != 0 {
		t.Errorf("%d policies are rendered though none is wanted", len(got))
	}
}

func TestRecommendedPoliciesKeepTheRules(t *testing.T) {
	kubewarden := recommending(operatorv1alpha1.RecommendedPolicies{Enabled: true})
	for _, policy := range render.RecommendedPolicies(kubewarden) {
		if failures := admission.Policy(policy); len(failures) > 0 {
			t.Errorf("%s: %v", policy.Name, failures)
		}
		if !json.Valid(policy.Spec.Settings.Raw) {
			t.Errorf("%s: the settings are no JSON: %s", policy.Name, policy.Spec.Settings.Raw)
		}
		if kind := policy.GroupVersionKind(); kind != render.RecommendedPolicyKinds()[0] {
			t.Errorf("%s is a %s, which is never pruned", policy.Name, kind)
		}
	}
}
