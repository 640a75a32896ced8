package api_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"sigs.k8s.io/yaml"
)

const basesDir = "../config/crd/bases"

// TestCRDsInstall asks the API server's own validation whether it would take the CRDs.
// That includes the estimated cost of each CEL rule: a rule over a list or a string
// without a bound is refused, and with it the whole CRD.
func TestCRDsInstall(t *testing.T) {
	for name, crd := range generatedCRDs(t) {
		t.Run(name, func(t *testing.T) {
			for _, problem := range validation.ValidateCustomResourceDefinition(t.Context(), internal(t, crd)) {
				t.Errorf("the API server refuses the CRD: %v", problem)
			}
		})
	}
}

// TestCRDsInstallSeesCost proves that the test above would notice a rule that is too
// expensive.
func TestCRDsInstallSeesCost(t *testing.T) {
	crd := generatedCRDs(t)["clusteradmissionpolicies.policies.kubewarden.io"]
	spec := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	rules := spec.Properties["rules"]
	rules.MaxItems = nil
	spec.Properties["rules"] = rules
	spec.XValidations = append(spec.XValidations, apiextensionsv1.ValidationRule{
		Rule:    "self.rules.all(r, r.resources.all(resource, !resource.contains('x')))",
		Message: "no resource has an x",
	})
	crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"] = spec

	problems := validation.ValidateCustomResourceDefinition(t.Context(), internal(t, crd))

	if len(problems) == 0 || !strings.Contains(problems.ToAggregate().Error(), "cost") {
		t.Errorf("got %v, want a complaint about the cost of the rule", problems)
	}
}

// generatedCRDs reads what `make manifests` wrote, by name.
func generatedCRDs(t *testing.T) map[string]*apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(basesDir, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("found no CRD in %s: %v", basesDir, err)
	}
	crds := make(map[string]*apiextensionsv1.CustomResourceDefinition, len(files))
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(data, crd); err != nil {
			t.Fatalf("decode %s: %v", file, err)
		}
		crds[crd.Name] = crd
	}
	return crds
}

// internal is the CRD as the API server holds it when it validates.
func internal(t *testing.T, crd *apiextensionsv1.CustomResourceDefinition) *apiextensions.CustomResourceDefinition {
	t.Helper()
	apiextensionsv1.SetDefaults_CustomResourceDefinition(crd)
	apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(&crd.Spec)
	out := &apiextensions.CustomResourceDefinition{}
	if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(crd, out, nil); err != nil {
		t.Fatalf("convert %s: %v", crd.Name, err)
	}
	// The API server fills in where it stores objects before it validates.
	out.Status.StoredVersions = []string{crd.Spec.Versions[0].Name}
	return out
}
