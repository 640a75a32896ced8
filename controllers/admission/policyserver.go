package admission

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// maxServerName is what the name of a Service leaves for the name of its PolicyServer.
const maxServerName = 63 - len("policy-server-")

// PolicyServer checks a new PolicyServer. Where upstream has the rule, the words are
// upstream's (policyserver_webhook.go).
func PolicyServer(server *policiesv1.PolicyServer) field.ErrorList {
	return append(validateServerName(server.Name), PolicyServerChange(server)...)
}

// PolicyServerChange checks a changed PolicyServer, whose name cannot be changed.
func PolicyServerChange(server *policiesv1.PolicyServer) field.ErrorList {
	spec, path := &server.Spec, field.NewPath("spec")
	var failures field.ErrorList
	if spec.MinAvailable != nil && spec.MaxUnavailable != nil {
		failures = append(failures, field.Invalid(path, field.OmitValueType{}, "minAvailable and maxUnavailable cannot be both set"))
	}
	_, scaling := render.ScalingOf(server)
	failures = append(failures, scaling...)
	failures = append(failures, validateResources(path, spec)...)
	return append(failures, validatePorts(path, spec)...)
}

func validateServerName(name string) field.ErrorList {
	path := field.NewPath("metadata", "name")
	switch {
	case len(name) > maxServerName:
		return field.ErrorList{field.Invalid(path, name, fmt.Sprintf(
			"the PolicyServer name cannot be longer than %d characters, since policy-server-<name> names a Service", maxServerName))}
	case strings.Contains(name, "."):
		return field.ErrorList{field.Invalid(path, name,
			"the PolicyServer name cannot contain a dot, since policy-server-<name> names a Service")}
	case strings.HasSuffix(name, "-replicas"), strings.HasSuffix(name, "-issued"):
		return field.ErrorList{field.Invalid(path, name,
			"the PolicyServer name cannot end in -replicas or -issued, since objects of another PolicyServer have such names; choose another ending")}
	default:
		return nil
	}
}

// validateResources holds requests and limits to what the API server takes in a Pod.
func validateResources(path *field.Path, spec *policiesv1.PolicyServerSpec) field.ErrorList {
	failures := validateQuantities(path.Child("limits"), spec.Limits)
	failures = append(failures, validateQuantities(path.Child("requests"), spec.Requests)...)
	for _, name := range slices.Sorted(maps.Keys(spec.Requests)) {
		request, limit := spec.Requests[name], spec.Limits[name]
		if _, limited := spec.Limits[name]; limited && request.Cmp(limit) > 0 {
			failures = append(failures, field.Invalid(path.Child("requests").Child(string(name)), request.String(),
				fmt.Sprintf("must be less than or equal to %s limit of %s", name, limit.String())))
		}
	}
	return failures
}

func validateQuantities(path *field.Path, list corev1.ResourceList) field.ErrorList {
	var failures field.ErrorList
	for _, name := range slices.Sorted(maps.Keys(list)) {
		if quantity := list[name]; quantity.Sign() < 0 {
			failures = append(failures, field.Invalid(path.Child(string(name)), quantity.String(), "must be greater than or equal to 0"))
		}
	}
	return failures
}

func validatePorts(path *field.Path, spec *policiesv1.PolicyServerSpec) field.ErrorList {
	webhook, readiness := int32(contract.PortWebhook), int32(contract.PortReadiness)
	if spec.WebhookPort != nil {
		webhook = *spec.WebhookPort
	}
	if spec.ReadinessProbePort != nil {
		readiness = *spec.ReadinessProbePort
	}
	if webhook != readiness {
		return nil
	}
	return field.ErrorList{field.Invalid(path.Child("readinessProbePort"), readiness,
		fmt.Sprintf("readinessProbePort must differ from webhookPort (%d)", webhook))}
}
