package storage

import (
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

func definitionOf(name string, stored ...string) *apiextensionsv1.CustomResourceDefinition {
	definition := &apiextensionsv1.CustomResourceDefinition{}
	definition.Name = name
	definition.Spec.Versions = []apiextensionsv1.CustomResourceDefinitionVersion{{Name: "v1alpha2"}, {Name: "v1", Storage: true}}
	definition.Status.StoredVersions = stored
	return definition
}

func TestOnlyOurDefinitionsWithOldVersionsAreOutdated(t *testing.T) {
	const ours = "policyservers.policies.kubewarden.io"
	for name, tc := range map[string]struct {
		definition *apiextensionsv1.CustomResourceDefinition
		want       bool
	}{
		"current":             {definitionOf(ours, "v1"), false},
		"old and current":     {definitionOf(ours, "v1alpha2", "v1"), true},
		"old alone":           {definitionOf(ours, "v1alpha2"), true},
		"nothing stored yet":  {definitionOf(ours), false},
		"somebody else's":     {definitionOf("things.example.com", "v1alpha2", "v1"), false},
		"a name that ends so": {definitionOf("thingspolicies.kubewarden.io", "v1alpha2"), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := isOutdated(tc.definition); got != tc.want {
				t.Errorf("outdated: %t, want %t", got, tc.want)
			}
		})
	}
}

func TestEachGenerationSettles(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	r := NewReconciler(Config{Now: func() time.Time { return now }})
	definition := definitionOf("policyservers.policies.kubewarden.io", "v1alpha2")
	for _, step := range []struct {
		generation int64
		pass       time.Duration
		settled    bool
	}{
		{1, 0, false},
		{1, settling - 1, false},
		{1, 1, true},
		{2, 0, false},
		{2, settling, true},
	} {
		now = now.Add(step.pass)
		definition.Generation = step.generation
		if rest := r.unsettled(definition); (rest <= 0) != step.settled {
			t.Errorf("generation %d at %s: %s are left, want settled %t", step.generation, now, rest, step.settled)
		}
	}
}
