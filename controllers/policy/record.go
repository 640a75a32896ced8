package policy

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/index"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// Annotations of a webhook configuration by which the operator remembers what it rendered
// it from.
const (
	// annotationEntry is the hash of the policy's entry in policies.yml.
	annotationEntry = "operator.kubewarden.io/policy-entry"
	// annotationSpec is the JSON of those fields of the policy's spec that make up the
	// webhook.
	annotationSpec = "operator.kubewarden.io/policy-spec"
)

// maxRecordedSpec bounds annotationSpec, in bytes. The annotations of an object may have
// 256 KiB together; a larger spec is not remembered.
const maxRecordedSpec = 128 << 10

// webhookFields are the fields of a spec, of all kinds of policies, that make up the
// webhook. The others make up the entry in policies.yml; mutating does both.
var webhookFields = []string{
	"rules", "failurePolicy", "matchPolicy", "matchConditions", "objectSelector", "namespaceSelector",
	"sideEffects", "timeoutSeconds", "mutating", "allowInsideAdmissionControllerNamespace",
}

// record notes on a webhook configuration what it was rendered from.
func record(webhook render.Object, policy policiesv1.Policy, entryHash string) error {
	spec, err := webhookSpec(policy)
	if err != nil {
		return err
	}
	annotations := webhook.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[annotationEntry] = entryHash
	if len(spec) <= maxRecordedSpec {
		annotations[annotationSpec] = string(spec)
	}
	webhook.SetAnnotations(annotations)
	return nil
}

// recalled returns the policy as it was when its webhook was rendered, as far as the
// webhook depends on it; nil when that is not known.
func recalled(kind index.PolicyKind, policy policiesv1.Policy, annotations map[string]string) policiesv1.Policy {
	recorded := map[string]any{}
	if err := json.Unmarshal([]byte(annotations[annotationSpec]), &recorded); err != nil {
		return nil
	}
	content, spec, err := contentOf(policy)
	if err != nil {
		return nil
	}
	for _, field := range webhookFields {
		delete(spec, field)
		if value, ok := recorded[field]; ok {
			spec[field] = value
		}
	}
	encoded, err := json.Marshal(content)
	if err != nil {
		return nil
	}
	former := kind.New()
	if err := json.Unmarshal(encoded, former); err != nil || len(former.GetAdmissionSpec().Rules) == 0 {
		return nil
	}
	return former
}

// webhookSpec is the JSON of the fields that make up the webhook, with sorted keys.
func webhookSpec(policy policiesv1.Policy) ([]byte, error) {
	_, spec, err := contentOf(policy)
	if err != nil {
		return nil, err
	}
	chosen := map[string]any{}
	for _, field := range webhookFields {
		if value, ok := spec[field]; ok {
			chosen[field] = value
		}
	}
	encoded, err := json.Marshal(chosen)
	if err != nil {
		return nil, fmt.Errorf("encode the spec of %s: %w", policy.GetName(), err)
	}
	return encoded, nil
}

// contentOf returns a policy, and within it its spec, as maps.
func contentOf(policy policiesv1.Policy) (content, spec map[string]any, err error) {
	content, err = runtime.DefaultUnstructuredConverter.ToUnstructured(policy)
	if err != nil {
		return nil, nil, fmt.Errorf("encode %s: %w", policy.GetName(), err)
	}
	spec, ok := content["spec"].(map[string]any)
	if !ok {
		return nil, nil, fmt.Errorf("encode %s: it has no spec", policy.GetName())
	}
	return content, spec, nil
}
