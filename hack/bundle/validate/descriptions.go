package validate

import (
	"fmt"
	"maps"
	"slices"

	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// checkDescriptions holds what consoles show and the scorecard asks for: the resources of
// each kind, and each of its fields described.
func checkDescriptions(in *input) (messages []string) {
	for _, owned := range in.CSV.Spec.CustomResourceDefinitions.Owned {
		where := fmt.Sprintf("spec.customresourcedefinitions.owned: %s %s", owned.Kind, owned.Version)
		if len(owned.Resources) == 0 {
			messages = append(messages, where+" lists no resources")
		}
		schema := schemaOf(in.V1CRDs, owned)
		if schema == nil {
			continue // OLM's own validator says so
		}
		described := map[string]string{}
		for _, descriptor := range owned.SpecDescriptors {
			described["spec."+descriptor.Path] = descriptor.Description
		}
		for _, descriptor := range owned.StatusDescriptors {
			described["status."+descriptor.Path] = descriptor.Description
		}
		for _, part := range []string{"spec", "status"} {
			for _, field := range slices.Sorted(maps.Keys(schema.Properties[part].Properties)) {
				if described[part+"."+field] == "" {
					messages = append(messages, fmt.Sprintf("%s does not describe the field %s.%s", where, part, field))
				}
			}
		}
	}
	return messages
}

func schemaOf(crds []*apiextensionsv1.CustomResourceDefinition, owned operatorsv1alpha1.CRDDescription) *apiextensionsv1.JSONSchemaProps {
	for _, crd := range crds {
		if crd.Name != owned.Name {
			continue
		}
		for _, version := range crd.Spec.Versions {
			if version.Name == owned.Version && version.Schema != nil {
				return version.Schema.OpenAPIV3Schema
			}
		}
	}
	return nil
}
