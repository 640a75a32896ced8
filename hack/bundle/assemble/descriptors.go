package assemble

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// What a console shows a field as, from OLM's own list of descriptors.
const (
	showConditions = "urn:alm:descriptor:io.kubernetes.conditions"
	showObject     = "urn:alm:descriptor:io.kubernetes:"
	showOption     = "urn:alm:descriptor:com.tectonic.ui:select:"
	showPodCount   = "urn:alm:descriptor:com.tectonic.ui:podCount"
	showNumber     = "urn:alm:descriptor:com.tectonic.ui:number"
	showSwitch     = "urn:alm:descriptor:com.tectonic.ui:booleanSwitch"
	showText       = "urn:alm:descriptor:com.tectonic.ui:text"
)

// shown are the fields of a spec that are more than their type says.
var shown = map[string]string{
	"imagePullSecret":     showObject + "Secret",
	"replicas":            showPodCount,
	"serviceAccountName":  showObject + "ServiceAccount",
	"sigstoreTrustConfig": showObject + "ConfigMap",
	"verificationConfig":  showObject + "ConfigMap",
}

// ownedDefinitions describes the operator's kinds. A version that is deprecated is served,
// and not offered.
func ownedDefinitions(definitions []definition) ([]operatorsv1alpha1.CRDDescription, error) {
	var owned []operatorsv1alpha1.CRDDescription
	for _, crd := range definitions {
		for _, version := range crd.Spec.Versions {
			if !version.Served || version.Deprecated {
				continue
			}
			described, err := describe(crd, version)
			if err != nil {
				return nil, err
			}
			owned = append(owned, described)
		}
	}
	return owned, nil
}

func describe(crd definition, version apiextensionsv1.CustomResourceDefinitionVersion) (operatorsv1alpha1.CRDDescription, error) {
	kind := crd.Spec.Names.Kind
	made, known := resources[kind]
	if !known {
		return operatorsv1alpha1.CRDDescription{}, fmt.Errorf("kind %s has no list of the resources that are made of it; add it to hack/bundle/assemble/about.go", kind)
	}
	schema := version.Schema.OpenAPIV3Schema
	described := operatorsv1alpha1.CRDDescription{
		Name:        crd.Name,
		Version:     version.Name,
		Kind:        kind,
		DisplayName: words(kind),
		Description: firstParagraph(schema.Description),
		Resources:   made,
	}
	spec, status := schema.Properties["spec"].Properties, schema.Properties["status"].Properties
	for _, name := range slices.Sorted(maps.Keys(spec)) {
		field := spec[name]
		described.SpecDescriptors = append(described.SpecDescriptors, operatorsv1alpha1.SpecDescriptor{
			Path: name, DisplayName: words(name), Description: firstParagraph(field.Description), XDescriptors: writtenAs(name, &field),
		})
	}
	for _, name := range slices.Sorted(maps.Keys(status)) {
		field := status[name]
		described.StatusDescriptors = append(described.StatusDescriptors, operatorsv1alpha1.StatusDescriptor{
			Path: name, DisplayName: words(name), Description: firstParagraph(field.Description), XDescriptors: readAs(name, &field),
		})
	}
	return described, nil
}

// writtenAs is how a console asks for a field of a spec.
func writtenAs(name string, field *apiextensionsv1.JSONSchemaProps) []string {
	if descriptor, special := shown[name]; special {
		return []string{descriptor}
	}
	if len(field.Enum) > 0 {
		return options(field.Enum)
	}
	return byType(field)
}

// readAs is how a console shows a field of a status.
func readAs(name string, field *apiextensionsv1.JSONSchemaProps) []string {
	if name == "conditions" {
		return []string{showConditions}
	}
	return byType(field)
}

// byType is how a console shows a scalar. What has fields of its own is shown by them.
func byType(field *apiextensionsv1.JSONSchemaProps) []string {
	switch {
	case field.Type == "boolean":
		return []string{showSwitch}
	case field.Type == "integer":
		return []string{showNumber}
	case field.Type == "string", field.XIntOrString:
		return []string{showText}
	default:
		return nil
	}
}

func options(values []apiextensionsv1.JSON) []string {
	var descriptors []string
	for _, value := range values {
		var word string
		if err := yaml.Unmarshal(value.Raw, &word); err != nil || word == "" {
			continue // a console has no name for it
		}
		descriptors = append(descriptors, showOption+word)
	}
	return descriptors
}

// firstParagraph is a description without its line breaks and without what follows the
// first empty line.
func firstParagraph(text string) string {
	text, _, _ = strings.Cut(text, "\n\n")
	return strings.Join(strings.Fields(text), " ")
}

// words writes the name of a field or kind as a title: policyServer is Policy Server.
func words(name string) string {
	var title strings.Builder
	letters := []rune(name)
	for i, letter := range letters {
		startsWord := i > 0 && unicode.IsUpper(letter) && (unicode.IsLower(letters[i-1]) || i+1 < len(letters) && unicode.IsLower(letters[i+1]))
		if startsWord {
			title.WriteRune(' ')
		}
		if i == 0 {
			letter = unicode.ToUpper(letter)
		}
		title.WriteRune(letter)
	}
	return title.String()
}
