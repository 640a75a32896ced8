package admission

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// reports are the resources in which audits tell what is wrong. A tenant who could refuse
// them could hide from the audit. The first is upstream's, which looks for it among the
// versions of a rule and so never finds it.
var reports = []struct{ group, resource string }{
	{"wgpolicyk8s.io", "policyreports"},
	{"openreports.io", "reports"},
}

// validateTargets holds the rules of a namespaced policy to what a tenant may judge: groups
// that are named, and no reports.
func validateTargets(rules []policiesv1.Rule) field.ErrorList {
	var failures field.ErrorList
	path := field.NewPath("spec", "rules")
	for i := range rules {
		failures = append(failures, validateWildcardGroups(path.Index(i), rules[i])...)
		for _, report := range reports {
			if targets(rules[i], report.group, report.resource) {
				failures = append(failures, field.Forbidden(path.Index(i), fmt.Sprintf(
					"{APIGroup: %s, Resource: %s} resources cannot be targeted by AdmissionPolicy or AdmissionPolicyGroup",
					report.group, report.resource)))
			}
		}
	}
	return failures
}

// validateWildcardGroups refuses every group at once. With it, every resource at once is
// named as a fault too.
func validateWildcardGroups(path *field.Path, rule policiesv1.Rule) field.ErrorList {
	const text = "%s cannot use wildcards when using AdmissionPolicy or AdmissionPolicyGroup"
	var failures field.ErrorList
	for i, group := range rule.APIGroups {
		if group == wildcard {
			failures = append(failures, field.Forbidden(path.Child("apiGroups").Index(i), fmt.Sprintf(text, "apiGroups")))
		}
	}
	if len(failures) == 0 {
		return nil
	}
	for i, resource := range rule.Resources {
		if resource == wildcard || resource == "*/*" {
			failures = append(failures, field.Forbidden(path.Child("resources").Index(i), fmt.Sprintf(text, "resources")))
		}
	}
	return failures
}

// targets says whether a rule names a group, and of it a resource or a part of it.
func targets(rule policiesv1.Rule, group, resource string) bool {
	for _, named := range rule.APIGroups {
		if named != group {
			continue
		}
		for _, pattern := range rule.Resources {
			name, _, _ := strings.Cut(pattern, "/")
			if name == resource || name == wildcard {
				return true
			}
		}
	}
	return false
}
