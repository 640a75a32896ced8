package render_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// flatten writes objects as paths and values in JSON:
//
//	Deployment                         "present"
//	Deployment.spec.replicas           2
//	Webhook.webhooks[0].matchPolicy    "Exact"
//	policies.yml[*].policyMode         "monitor"
//
// An element of a list is found by its name where it has one, else by its place; a list
// without objects is one value. The files in a ConfigMap are objects too. There is one policy
// at most, so that its ID is no part of the paths, nor is the kind of its webhook.
func flatten(t *testing.T, objects []render.Object) map[string]string {
	t.Helper()
	flat := map[string]string{}
	for _, object := range objects {
		fields := decodeJSON(t, encodeJSON(t, object))
		child := label(object)
		flat[child] = encodeJSON(t, "present")
		if configMap, ok := object.(*corev1.ConfigMap); ok {
			delete(fields, "data")
			flattenData(t, configMap, flat)
		}
		flattenValue(t, child, fields, flat)
	}
	return flat
}

// label is what a child goes by: its kind, which is unique but for the reports.
func label(object render.Object) string {
	kind := object.GetObjectKind().GroupVersionKind().Kind
	switch {
	case kind == "ValidatingWebhookConfiguration" || kind == "MutatingWebhookConfiguration":
		return "Webhook"
	case kind == "ConfigMap" && object.GetName() == contract.ReportConfigMapName("default"):
		return "ReportConfigMap"
	default:
		return kind
	}
}

func flattenData(t *testing.T, configMap *corev1.ConfigMap, flat map[string]string) {
	t.Helper()
	for key, content := range configMap.Data {
		switch key {
		case contract.KeyPolicies:
			policies := decodeJSON(t, content)
			if len(policies) > 1 {
				t.Fatalf("%d policies, want one at most", len(policies))
			}
			for entry := range maps.Values(policies) {
				flattenValue(t, key+"[*]", entry, flat)
			}
		case contract.KeySources:
			flattenValue(t, key, decodeJSON(t, content), flat)
		default:
			flat[key] = encodeJSON(t, content)
		}
	}
}

func flattenValue(t *testing.T, path string, value any, flat map[string]string) {
	t.Helper()
	switch value := value.(type) {
	case map[string]any:
		for key, field := range value {
			flattenValue(t, path+"."+key, field, flat)
		}
	case []any:
		if len(value) == 0 {
			return
		}
		if _, objects := value[0].(map[string]any); !objects {
			flat[path] = encodeJSON(t, value)
			return
		}
		for i, element := range value {
			flattenValue(t, path+"["+place(value, i)+"]", element, flat)
		}
	default:
		flat[path] = encodeJSON(t, value)
	}
}

// place tells an element of a list from the others. One that is alone needs no name.
func place(list []any, i int) string {
	if element, ok := list[i].(map[string]any); ok && len(list) > 1 {
		if name, ok := element["name"].(string); ok {
			return name
		}
	}
	return fmt.Sprint(i)
}

func encodeJSON(t *testing.T, value any) string {
	t.Helper()
	content, err := json.Marshal(value)
	if err != nil {
		t.Fatalf("encode %T: %v", value, err)
	}
	return string(content)
}

func decodeJSON(t *testing.T, content string) map[string]any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewBufferString(content))
	decoder.UseNumber() // settings have numbers that no float64 holds
	var fields map[string]any
	if err := decoder.Decode(&fields); err != nil {
		t.Fatalf("decode %q: %v", content, err)
	}
	return fields
}
