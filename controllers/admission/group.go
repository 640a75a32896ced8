package admission

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/policyserver/groups"
)

// maxTimeoutSeconds is the longest that an API server waits for a webhook.
const maxTimeoutSeconds = 30

func validateGroup(group policiesv1.PolicyGroup) field.ErrorList {
	path := field.NewPath("spec")
	spec, members := group.GetPolicyGroupSpec(), group.GetMembers()
	failures := validateMembers(path.Child("policies"), members)
	failures = append(failures, validateMemberTimeouts(path.Child("policies"), members, timeoutSeconds(&spec.AdmissionSpec))...)
	failures = append(failures, validateGroupExpression(path.Child("expression"), spec.Expression, members)...)
	if spec.Message == "" {
		failures = append(failures, field.Required(path.Child("message"), "must be non-empty"))
	}
	return failures
}

func validateMembers(path *field.Path, members map[string]policiesv1.ContextAwareGroupMember) field.ErrorList {
	if len(members) == 0 {
		return field.ErrorList{field.Required(path, "policy groups must have at least one policy member")}
	}
	var failures field.ErrorList
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if err := groups.CheckName(name); err != nil {
			failures = append(failures, field.Invalid(path, name, err.Error()))
		}
	}
	return failures
}

// validateGroupExpression compiles the expression as policy servers do. Where the members
// are refused already, nothing can be said about an expression that calls them.
func validateGroupExpression(path *field.Path, expression string, members map[string]policiesv1.ContextAwareGroupMember) field.ErrorList {
	if expression == "" {
		return field.ErrorList{field.Required(path, "must be non-empty")}
	}
	names := slices.Collect(maps.Keys(members))
	if len(names) == 0 || slices.ContainsFunc(names, func(name string) bool { return groups.CheckName(name) != nil }) {
		return nil
	}
	_, err := groups.Compile(expression, names)
	if invalid, is := errors.AsType[*groups.Error](err); is {
		return field.ErrorList{field.Invalid(path, expression, "compilation failed: "+invalid.Detail())}
	}
	if err != nil {
		return field.ErrorList{field.InternalError(path, err)}
	}
	return nil
}

// validateMemberTimeouts sees that the webhook waits for every member that has a timeout of
// its own: they may all be asked, one after the other.
func validateMemberTimeouts(path *field.Path, members map[string]policiesv1.ContextAwareGroupMember, webhook int32) field.ErrorList {
	var failures field.ErrorList
	sum := int64(0)
	for _, name := range slices.Sorted(maps.Keys(members)) {
		timeout := members[name].TimeoutEvalSeconds
		if timeout == nil {
			continue
		}
		sum += int64(*timeout)
		if *timeout > min(webhook, maxTimeoutSeconds) {
			failures = append(failures, field.Invalid(path.Key(name).Child("timeoutEvalSeconds"), *timeout,
				"timeoutEvalSeconds of a member cannot be greater than timeoutSeconds of the group"))
		}
	}
	if sum > int64(min(webhook, maxTimeoutSeconds)) {
		failures = append(failures, field.Invalid(path, fmt.Sprintf("%d s together", sum),
			"the sum of timeoutEvalSeconds of all members cannot be greater than timeoutSeconds of the group"))
	}
	return failures
}
