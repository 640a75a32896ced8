package admission

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Policy checks a policy or a policy group of any kind. Its errors name fields and say what
// is allowed; where upstream has the rule, the words are upstream's (policy_validation.go).
func Policy(policy policiesv1.Policy) field.ErrorList {
	return append(validateName(policy), validateSpec(policy)...)
}

// PolicyChange checks a changed policy. A name is not checked again: it cannot be changed.
func PolicyChange(before, after policiesv1.Policy) field.ErrorList {
	var failures field.ErrorList
	spec := field.NewPath("spec")
	if before.GetPolicyServer() != after.GetPolicyServer() {
		failures = append(failures, field.Forbidden(spec.Child("policyServer"), "the field is immutable"))
	}
	if before.GetMode() == policiesv1.PolicyModeProtect && after.GetMode() == policiesv1.PolicyModeMonitor {
		failures = append(failures, field.Forbidden(spec.Child("mode"), "field cannot transition from protect to monitor. Recreate instead."))
	}
	return append(failures, validateSpec(after)...)
}

// maxIdentity is the longest name that a webhook can have, in characters.
const maxIdentity = 253

// validateName refuses a name that makes the name of the webhook too long.
func validateName(policy policiesv1.Policy) field.ErrorList {
	id, err := render.PolicyID(policy)
	if err != nil {
		return field.ErrorList{field.InternalError(field.NewPath("kind"), err)}
	}
	length := len(render.WebhookName(id))
	if length <= maxIdentity {
		return nil
	}
	name := policy.GetName()
	return field.ErrorList{field.Invalid(field.NewPath("metadata", "name"), name, fmt.Sprintf(
		"the policy name combined with its namespace and kind produces an identity that is too long "+
			"(%d characters, max %d); the name must be at most %d characters long",
		length, maxIdentity, maxIdentity-(length-len(name))))}
}

func validateSpec(policy policiesv1.Policy) field.ErrorList {
	spec := policy.GetAdmissionSpec()
	failures := validateRules(spec.Rules)
	if policy.GetNamespace() != "" {
		failures = append(failures, validateTargets(spec.Rules)...)
	}
	failures = append(failures, validateMatchConditions(spec.MatchConditions)...)
	failures = append(failures, validateInstanceMode(policy)...)
	switch policy := policy.(type) {
	case *policiesv1.ClusterAdmissionPolicy:
		failures = append(failures, validateTimeouts(&policy.Spec.PolicySpec)...)
	case *policiesv1.AdmissionPolicy:
		failures = append(failures, validateTimeouts(&policy.Spec.PolicySpec)...)
	case policiesv1.PolicyGroup:
		failures = append(failures, validateGroup(policy)...)
	}
	return failures
}

// validateInstanceMode refuses modes of instances that a policy may not have. Warm instances
// of tenants would take the memory of others, fresh ones their processors.
func validateInstanceMode(policy policiesv1.Policy) field.ErrorList {
	value, asked := policy.GetAnnotations()[policiesv1.AnnotationInstanceMode]
	allowed := contract.InstanceModes(policy.GetNamespace() != "")
	if !asked || slices.Contains(allowed, contract.InstanceMode(value)) {
		return nil
	}
	path := field.NewPath("metadata", "annotations").Key(policiesv1.AnnotationInstanceMode)
	return field.ErrorList{field.NotSupported(path, contract.InstanceMode(value), allowed)}
}

func validateTimeouts(spec *policiesv1.PolicySpec) field.ErrorList {
	if spec.TimeoutEvalSeconds == nil || *spec.TimeoutEvalSeconds <= timeoutSeconds(&spec.AdmissionSpec) {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("spec", "timeoutEvalSeconds"), *spec.TimeoutEvalSeconds,
		"timeoutEvalSeconds cannot be greater than timeoutSeconds")}
}

// timeoutSeconds is the timeout of the webhook; the schema fills in the same default.
func timeoutSeconds(spec *policiesv1.AdmissionSpec) int32 {
	if spec.TimeoutSeconds == nil {
		return 10
	}
	return *spec.TimeoutSeconds
}
