package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// PolicyID is the ID of a policy. The error says that its kind is not known.
func PolicyID(policy policiesv1.Policy) (string, error) {
	switch policy := policy.(type) {
	case *policiesv1.ClusterAdmissionPolicy:
		return contract.ClusterAdmissionPolicyID(policy.Name), nil
	case *policiesv1.ClusterAdmissionPolicyGroup:
		return contract.ClusterAdmissionPolicyGroupID(policy.Name), nil
	case *policiesv1.AdmissionPolicy:
		return contract.AdmissionPolicyID(policy.Namespace, policy.Name), nil
	case *policiesv1.AdmissionPolicyGroup:
		return contract.AdmissionPolicyGroupID(policy.Namespace, policy.Name), nil
	default:
		return "", fmt.Errorf("policy %s has the unknown kind %T", policy.GetName(), policy)
	}
}

// PolicyOf is the name of the policy of that ID, and whether it is of the kind of the given
// policy, of which nothing else counts. No namespace has a dot in its name, so one ID never
// is that of two policies.
func PolicyOf(kind policiesv1.Policy, id string) (namespace, name string, ok bool) {
	switch kind.(type) {
	case *policiesv1.ClusterAdmissionPolicy:
		name, ok = strings.CutPrefix(id, contract.ClusterAdmissionPolicyID(""))
	case *policiesv1.ClusterAdmissionPolicyGroup:
		name, ok = strings.CutPrefix(id, contract.ClusterAdmissionPolicyGroupID(""))
	case *policiesv1.AdmissionPolicy:
		name, ok = strings.CutPrefix(id, strings.TrimSuffix(contract.AdmissionPolicyID("", ""), "."))
	case *policiesv1.AdmissionPolicyGroup:
		name, ok = strings.CutPrefix(id, strings.TrimSuffix(contract.AdmissionPolicyGroupID("", ""), "."))
	}
	switch kind.(type) {
	case *policiesv1.AdmissionPolicy, *policiesv1.AdmissionPolicyGroup:
		namespace, name, _ = strings.Cut(name, ".")
		ok = ok && namespace != ""
	}
	return namespace, name, ok && name != ""
}

// isNamespaced says whether a policy judges its own namespace only.
func isNamespaced(policy policiesv1.Policy) bool { return policy.GetNamespace() != "" }

// Entry is the entry of a policy in the policies.yml of its PolicyServer, and its key. The
// values are upstream's (policyserver_controller_configmap.go), except that a namespaced
// policy gets no host capability which the PolicyServer does not grant. Without a server,
// which is nil then, none is granted.
//
// A policy that no entry can be made of, such as one without a module, is an error, so that
// it never spoils the file for the others.
func Entry(policy policiesv1.Policy, server *policiesv1.PolicyServer) (string, contract.Entry, error) {
	id, err := PolicyID(policy)
	if err != nil {
		return "", contract.Entry{}, err
	}
	entry := contract.Entry{
		UID:            string(policy.GetUID()),
		NamespacedName: &contract.NamespacedName{Namespace: policy.GetNamespace(), Name: policy.GetName()},
		Refresh:        policy.GetAnnotations()[policiesv1.AnnotationRefresh],
		PolicyMode:     contract.Mode(policy.GetMode()),
		InstanceMode:   contract.InstanceMode(policy.GetAnnotations()[policiesv1.AnnotationInstanceMode]),
	}
	capabilities := hostCapabilities(policy, server)
	switch policy := policy.(type) {
	case *policiesv1.ClusterAdmissionPolicy:
		fillPolicy(&entry, policy.Spec.PolicySpec)
		entry.ContextAwareResources = contextAwareResources(policy.Spec.ContextAwareResources)
		entry.HostCapabilities = capabilities
	case *policiesv1.AdmissionPolicy:
		fillPolicy(&entry, policy.Spec.PolicySpec)
		entry.HostCapabilities = capabilities
	case policiesv1.PolicyGroup:
		fillGroup(&entry, policy, capabilities)
	}
	if _, err := json.Marshal(entry); err != nil {
		return "", contract.Entry{}, fmt.Errorf("encode policy %s: %w", id, err)
	}
	return id, entry, nil
}

// hostCapabilities are what a policy may ask of its host. A cluster-wide policy is written
// by an administrator and trusted with everything; a namespaced one is written by a tenant.
func hostCapabilities(policy policiesv1.Policy, server *policiesv1.PolicyServer) []string {
	if !isNamespaced(policy) {
		return []string{"*"}
	}
	capabilities := []string{}
	if server == nil {
		return capabilities
	}
	for _, capability := range server.Spec.NamespacedPoliciesCapabilities {
		capabilities = append(capabilities, string(capability))
	}
	return capabilities
}

func fillPolicy(entry *contract.Entry, spec policiesv1.PolicySpec) {
	entry.Module = spec.Module
	entry.AllowedToMutate = new(spec.Mutating)
	entry.Settings = settings(spec.Settings)
	entry.Message = spec.Message
	entry.TimeoutEvalSeconds = copyOf(spec.TimeoutEvalSeconds)
}

func fillGroup(entry *contract.Entry, group policiesv1.PolicyGroup, capabilities []string) {
	spec := group.GetPolicyGroupSpec()
	entry.Expression = spec.Expression
	entry.Message = spec.Message
	members := group.GetMembers()
	entry.Policies = make(map[string]contract.Member, len(members))
	for name, member := range members {
		entry.Policies[name] = contract.Member{
			Module:                member.Module,
			Settings:              settings(member.Settings),
			ContextAwareResources: contextAwareResources(member.ContextAwareResources),
			TimeoutEvalSeconds:    copyOf(member.TimeoutEvalSeconds),
			HostCapabilities:      slices.Clone(capabilities),
		}
	}
}

func settings(settings runtime.RawExtension) json.RawMessage {
	return slices.Clone(bytes.TrimSpace(settings.Raw))
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
