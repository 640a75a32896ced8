package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// PolicyID is the ID of a policy. The error says that its kind is not known.
func PolicyID(policy policiesv1.Policy) (string, error) {
	switch policy := policy.(type) {
	case *policiesv1.ClusterAdmissionPolicy:
		return contract.ClusterAdmissionPolicyID(policy.Name), nil
	default:
		return "", fmt.Errorf("policy %s has the unknown kind %T", policy.GetName(), policy)
	}
}

// Entry is the entry of a policy in policies.yml, and its key. The values are upstream's
// (policyserver_controller_configmap.go). A policy that no entry can be made of, such as
// one without a module, is an error, so that it never spoils the file for the others.
func Entry(policy policiesv1.Policy) (string, contract.Entry, error) {
	id, err := PolicyID(policy)
	if err != nil {
		return "", contract.Entry{}, err
	}
	entry := contract.Entry{
		NamespacedName: &contract.NamespacedName{Namespace: policy.GetNamespace(), Name: policy.GetName()},
		Refresh:        policy.GetAnnotations()[policiesv1.AnnotationRefresh],
		PolicyMode:     contract.Mode(policy.GetMode()),
	}
	if policy, ok := policy.(*policiesv1.ClusterAdmissionPolicy); ok {
		fillPolicy(&entry, policy.Spec.PolicySpec)
		entry.ContextAwareResources = contextAwareResources(policy.Spec.ContextAwareResources)
		// A cluster-wide policy is written by an administrator and trusted with everything.
		entry.HostCapabilities = []string{"*"}
	}
	if _, err := json.Marshal(entry); err != nil {
		return "", contract.Entry{}, fmt.Errorf("encode policy %s: %w", id, err)
	}
	return id, entry, nil
}

func fillPolicy(entry *contract.Entry, spec policiesv1.PolicySpec) {
	entry.Module = spec.Module
	entry.AllowedToMutate = new(spec.Mutating)
	entry.Settings = slices.Clone(bytes.TrimSpace(spec.Settings.Raw))
	entry.Message = spec.Message
	entry.TimeoutEvalSeconds = copyOf(spec.TimeoutEvalSeconds)
}

func contextAwareResources(resources []policiesv1.ContextAwareResource) []contract.ContextAwareResource {
	if len(resources) == 0 {
		return nil
	}
	converted := make([]contract.ContextAwareResource, 0, len(resources))
	for _, resource := range resources {
		converted = append(converted, contract.ContextAwareResource(resource))
	}
	return converted
}
