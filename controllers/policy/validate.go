package policy

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// validate checks what neither the schema nor the CEL rules of the CRDs can, so that no
// webhook is rendered from a spec that the API server would refuse later. The rules are
// those of the API server for webhook configurations; it compiles match conditions itself
// when the configuration is written.
func validate(policy policiesv1.Policy) field.ErrorList {
	var failures field.ErrorList
	path := field.NewPath("spec", "rules")
	rules := policy.GetAdmissionSpec().Rules
	if len(rules) == 0 {
		failures = append(failures, field.Required(path, "a value must be specified"))
	}
	for i := range rules {
		failures = append(failures, validateRule(path.Index(i), rules[i])...)
	}
	return failures
}

func validateRule(path *field.Path, rule policiesv1.Rule) field.ErrorList {
	var failures field.ErrorList
	failures = append(failures, validateWords(path.Child("operations"), rule.Operations)...)
	failures = append(failures, validateWords(path.Child("apiGroups"), rule.APIGroups)...)
	failures = append(failures, validateWords(path.Child("apiVersions"), rule.APIVersions)...)
	return append(failures, validateResources(path.Child("resources"), rule.Resources)...)
}

func validateWords[T ~string](path *field.Path, words []T) field.ErrorList {
	if len(words) > 1 && slices.Contains(words, wildcard) {
		return field.ErrorList{field.Invalid(path, words, `"*" stands for all of them and must be the only item`)}
	}
	return nil
}

// validateResources refuses a resource beside a wildcard that covers it.
func validateResources(path *field.Path, resources []string) field.ErrorList {
	var failures field.ErrorList
	for i, resource := range resources {
		for _, other := range resources {
			if other != resource && coveredBy(resource, other) {
				failures = append(failures, field.Invalid(path.Index(i), resource,
					fmt.Sprintf("%q covers it already: leave one of the two out", other)))
				break
			}
		}
	}
	return failures
}

// coveredBy says whether a wildcard covers a resource in the eyes of the API server: */*
// covers everything, * every resource without a subresource, x/* the subresources of x,
// and */x the subresource x of everything.
func coveredBy(resource, wild string) bool {
	wildResource, wildSub, wildHasSub := strings.Cut(wild, "/")
	name, sub, hasSub := strings.Cut(resource, "/")
	switch {
	case wild == "*/*":
		return true
	case wild == wildcard:
		return !hasSub
	case !wildHasSub || !hasSub:
		return false
	case wildSub == wildcard:
		return name == wildResource
	case wildResource == wildcard:
		return sub == wildSub
	default:
		return false
	}
}
