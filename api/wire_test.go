package api_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// fields maps each field of a spec to its type, and its default where there is
// one. A field that the schema requires ends in "!".
type fields map[string]string

// The fields of upstream's CRDs, version v1.37 (its Helm chart): names and types are
// what users' manifests and other programs rely on. Upstream has no default for replicas
// and demands image and replicas.
var upstreamFields = map[string]fields{
	"policyservers.policies.kubewarden.io": {
		"image": "string", "replicas": "integer = 2", "minAvailable": "int-or-string", "maxUnavailable": "int-or-string",
		"annotations": "map of string", "labels": "map of string", "env": "array of object", "serviceAccountName": "string",
		"imagePullSecret": "string", "insecureSources": "array of string", "sourceAuthorities": "map of array",
		"verificationConfig": "string", "sigstoreTrustConfig": "string", "securityContexts": "object", "affinity": "object",
		"limits": "map of int-or-string", "requests": "map of int-or-string", "tolerations": "array of object",
		"priorityClassName": "string", "namespacedPoliciesCapabilities": "array of string",
		"webhookPort": "integer", "readinessProbePort": "integer", "metricsPort": "integer",
	},
	"clusteradmissionpolicies.policies.kubewarden.io": {
		"policyServer": `string = "default"`, "mode": `string = "protect"`, "module": "string!", "settings": "any object or null",
		"rules": "array of object!", "failurePolicy": "string", "mutating": "boolean!", "backgroundAudit": "boolean = true",
		"matchPolicy": "string", "matchConditions": "array of object", "objectSelector": "object", "sideEffects": "string",
		"timeoutSeconds": "integer = 10", "timeoutEvalSeconds": "integer", "message": "string", "namespaceSelector": "object",
		"contextAwareResources": "array of object", "allowInsideAdmissionControllerNamespace": "boolean = false",
	},
	"admissionpolicies.policies.kubewarden.io": {
		"policyServer": `string = "default"`, "mode": `string = "protect"`, "module": "string!", "settings": "any object or null",
		"rules": "array of object!", "failurePolicy": "string", "mutating": "boolean!", "backgroundAudit": "boolean = true",
		"matchPolicy": "string", "matchConditions": "array of object", "objectSelector": "object", "sideEffects": "string",
		"timeoutSeconds": "integer = 10", "timeoutEvalSeconds": "integer", "message": "string",
	},
	"clusteradmissionpolicygroups.policies.kubewarden.io": {
		"policyServer": `string = "default"`, "mode": `string = "protect"`, "policies": "map of object!", "expression": "string!", "message": "string!",
		"rules": "array of object!", "failurePolicy": "string", "backgroundAudit": "boolean = true",
		"matchPolicy": "string", "matchConditions": "array of object", "objectSelector": "object", "sideEffects": "string",
		"timeoutSeconds": "integer = 10", "namespaceSelector": "object", "allowInsideAdmissionControllerNamespace": "boolean = false",
	},
	"admissionpolicygroups.policies.kubewarden.io": {
		"policyServer": `string = "default"`, "mode": `string = "protect"`, "policies": "map of object!", "expression": "string!", "message": "string!",
		"rules": "array of object!", "failurePolicy": "string", "backgroundAudit": "boolean = true",
		"matchPolicy": "string", "matchConditions": "array of object", "objectSelector": "object", "sideEffects": "string",
		"timeoutSeconds": "integer = 10",
	},
}

// The fields of a member of a group; those of a namespaced group read nothing from the
// cluster.
var upstreamMembers = map[string]fields{
	"clusteradmissionpolicygroups.policies.kubewarden.io": {
		"module": "string!", "settings": "any object or null", "timeoutEvalSeconds": "integer", "contextAwareResources": "array of object",
	},
	"admissionpolicygroups.policies.kubewarden.io": {
		"module": "string!", "settings": "any object or null", "timeoutEvalSeconds": "integer",
	},
}

func TestSpecsHaveTheFieldsOfUpstream(t *testing.T) {
	crds := generatedCRDs(t)
	for name, want := range upstreamFields {
		t.Run(name, func(t *testing.T) {
			for _, version := range crds[name].Spec.Versions {
				if diff := cmp.Diff(want, fieldsOf(specOf(version))); diff != "" {
					t.Errorf("fields of %s (-upstream +ours):\n%s", version.Name, diff)
				}
			}
		})
	}
}

func TestMembersHaveTheFieldsOfUpstream(t *testing.T) {
	crds := generatedCRDs(t)
	for name, want := range upstreamMembers {
		t.Run(name, func(t *testing.T) {
			members := specOf(crds[name].Spec.Versions[0]).Properties["policies"]
			if diff := cmp.Diff(want, fieldsOf(*members.AdditionalProperties.Schema)); diff != "" {
				t.Errorf("fields (-upstream +ours):\n%s", diff)
			}
		})
	}
}

// TestVersions holds which versions of each kind are served, which one is stored, and what
// users of a deprecated one are told. The words are upstream's. Deprecated versions have the
// whole schema of v1: each rule of v1 holds there too, and writing through them loses nothing.
func TestVersions(t *testing.T) {
	const old = "v1alpha2 deprecated: This version is deprecated. Please, consider using v1"
	want := map[string][]string{
		"policyservers.policies.kubewarden.io":                {"v1 stored", old},
		"clusteradmissionpolicies.policies.kubewarden.io":     {"v1 stored", old},
		"admissionpolicies.policies.kubewarden.io":            {"v1 stored", old},
		"clusteradmissionpolicygroups.policies.kubewarden.io": {"v1 stored"},
		"admissionpolicygroups.policies.kubewarden.io":        {"v1 stored"},
		"kubewardens.operator.kubewarden.io":                  {"v1alpha1 stored"},
	}
	got := map[string][]string{}
	for name, crd := range generatedCRDs(t) {
		first := crd.Spec.Versions[0]
		for _, version := range crd.Spec.Versions {
			got[name] = append(got[name], describeVersion(version))
			if diff := cmp.Diff(specOf(first), specOf(version)); diff != "" {
				t.Errorf("%s: spec (-%s +%s):\n%s", name, first.Name, version.Name, diff)
			}
			rules := first.Schema.OpenAPIV3Schema.XValidations
			if diff := cmp.Diff(rules, version.Schema.OpenAPIV3Schema.XValidations); diff != "" {
				t.Errorf("%s: rules (-%s +%s):\n%s", name, first.Name, version.Name, diff)
			}
		}
		if crd.Spec.Conversion != nil {
			t.Errorf("%s: got conversion %v, want none", name, crd.Spec.Conversion)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
}

func describeVersion(version apiextensionsv1.CustomResourceDefinitionVersion) string {
	text := version.Name
	if version.Storage {
		text += " stored"
	}
	if !version.Served {
		text += " not served"
	}
	if version.Deprecated {
		text += " deprecated"
	}
	if version.DeprecationWarning != nil {
		text += ": " + *version.DeprecationWarning
	}
	return text
}

// specOf is the schema of the spec, without what it says of itself.
func specOf(version apiextensionsv1.CustomResourceDefinitionVersion) apiextensionsv1.JSONSchemaProps {
	spec := version.Schema.OpenAPIV3Schema.Properties["spec"]
	spec.Description = ""
	return spec
}

// fieldsOf reads the fields of an object from its schema.
func fieldsOf(schema apiextensionsv1.JSONSchemaProps) fields {
	all := fields{}
	for field, schema := range schema.Properties {
		all[field] = describe(schema)
	}
	for _, field := range schema.Required {
		all[field] += "!"
	}
	return all
}

func TestNamesOfKinds(t *testing.T) {
	type names struct {
		Kind, Plural, Short string
		Scope               apiextensionsv1.ResourceScope
	}
	want := map[string]names{
		"policyservers.policies.kubewarden.io":                {Kind: "PolicyServer", Plural: "policyservers", Short: "ps", Scope: "Cluster"},
		"clusteradmissionpolicies.policies.kubewarden.io":     {Kind: "ClusterAdmissionPolicy", Plural: "clusteradmissionpolicies", Short: "cap", Scope: "Cluster"},
		"admissionpolicies.policies.kubewarden.io":            {Kind: "AdmissionPolicy", Plural: "admissionpolicies", Short: "ap", Scope: "Namespaced"},
		"clusteradmissionpolicygroups.policies.kubewarden.io": {Kind: "ClusterAdmissionPolicyGroup", Plural: "clusteradmissionpolicygroups", Short: "capg", Scope: "Cluster"},
		"admissionpolicygroups.policies.kubewarden.io":        {Kind: "AdmissionPolicyGroup", Plural: "admissionpolicygroups", Short: "apg", Scope: "Namespaced"},
		"kubewardens.operator.kubewarden.io":                  {Kind: "Kubewarden", Plural: "kubewardens", Short: "kw", Scope: "Cluster"},
	}
	got := map[string]names{}
	for name, crd := range generatedCRDs(t) {
		got[name] = names{
			Kind: crd.Spec.Names.Kind, Plural: crd.Spec.Names.Plural, Short: crd.Spec.Names.ShortNames[0], Scope: crd.Spec.Scope,
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
}

// describe says in words what a schema takes.
func describe(schema apiextensionsv1.JSONSchemaProps) string {
	text := schema.Type
	switch {
	case schema.XIntOrString:
		text = "int-or-string"
	case schema.XPreserveUnknownFields != nil && *schema.XPreserveUnknownFields:
		text = "any object"
	case schema.Items != nil:
		text = "array of " + schema.Items.Schema.Type
	case schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema.XIntOrString:
		text = "map of int-or-string"
	case schema.AdditionalProperties != nil:
		text = "map of " + schema.AdditionalProperties.Schema.Type
	}
	if schema.Nullable {
		text += " or null"
	}
	if schema.Default != nil {
		text += " = " + string(schema.Default.Raw)
	}
	return text
}
