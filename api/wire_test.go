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
}

func TestSpecsHaveTheFieldsOfUpstream(t *testing.T) {
	crds := generatedCRDs(t)
	for name, want := range upstreamFields {
		t.Run(name, func(t *testing.T) {
			spec := crds[name].Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
			got := fields{}
			for field, schema := range spec.Properties {
				got[field] = describe(schema)
			}
			for _, field := range spec.Required {
				got[field] += "!"
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("fields (-upstream +ours):\n%s", diff)
			}
		})
	}
}

func TestNamesOfKinds(t *testing.T) {
	type names struct {
		Kind, Plural, Short string
		Scope               apiextensionsv1.ResourceScope
	}
	want := map[string]names{
		"policyservers.policies.kubewarden.io":            {Kind: "PolicyServer", Plural: "policyservers", Short: "ps", Scope: "Cluster"},
		"clusteradmissionpolicies.policies.kubewarden.io": {Kind: "ClusterAdmissionPolicy", Plural: "clusteradmissionpolicies", Short: "cap", Scope: "Cluster"},
		"kubewardens.operator.kubewarden.io":              {Kind: "Kubewarden", Plural: "kubewardens", Short: "kw", Scope: "Cluster"},
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
