package admission

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// maxTimeoutSeconds is the longest that an API server waits for a webhook.
const maxTimeoutSeconds = 30

// memberName is what CEL takes as the name of a function.
var memberName = regexp.MustCompile(`^[_a-zA-Z][_a-zA-Z0-9]*$`)

// reservedWords are words of CEL that no function can be named.
var reservedWords = []string{
	"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if",
	"import", "let", "loop", "package", "namespace", "return", "var", "void", "while",
}

func validateGroup(group policiesv1.PolicyGroup) field.ErrorList {
	path := field.NewPath("spec")
	spec, members := group.GetPolicyGroupSpec(), group.GetMembers()
	failures := validateMembers(path.Child("policies"), members)
	failures = append(failures, validateMemberTimeouts(path.Child("policies"), members, timeoutSeconds(&spec.AdmissionSpec))...)
	if spec.Expression == "" {
		failures = append(failures, field.Required(path.Child("expression"), "must be non-empty"))
	}
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
		if !memberName.MatchString(name) || slices.Contains(reservedWords, name) {
			failures = append(failures, field.Invalid(path, name, "policy group member name is invalid: "+
				"it must be made of letters, digits and underscores, not begin with a digit, and not be a word that CEL reserves"))
		}
	}
	return failures
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
