package admission

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

const wildcard = "*"

// validateRules holds the rules to what the API server takes in a webhook configuration, so
// that none is rendered that it would refuse later.
func validateRules(rules []policiesv1.Rule) field.ErrorList {
	path := field.NewPath("spec", "rules")
	if len(rules) == 0 {
		return field.ErrorList{field.Required(path, "a value must be specified")}
	}
	var failures field.ErrorList
	for i := range rules {
		failures = append(failures, validateRule(path.Index(i), rules[i])...)
	}
	return failures
}

func validateRule(path *field.Path, rule policiesv1.Rule) field.ErrorList {
	switch {
	case len(rule.Operations) == 0:
		return field.ErrorList{field.Required(path.Child("operations"), "a value must be specified")}
	case len(rule.APIVersions) == 0 || len(rule.Resources) == 0:
		return field.ErrorList{field.Required(path, "apiVersions and resources must have specified values")}
	}
	var failures field.ErrorList
	failures = append(failures, validateWords(path.Child("operations"), rule.Operations)...)
	failures = append(failures, validateWords(path.Child("apiVersions"), rule.APIVersions)...)
	failures = append(failures, validateWords(path.Child("resources"), rule.Resources)...)
	failures = append(failures, validateWildcard(path.Child("operations"), rule.Operations)...)
	failures = append(failures, validateWildcard(path.Child("apiGroups"), rule.APIGroups)...)
	failures = append(failures, validateWildcard(path.Child("apiVersions"), rule.APIVersions)...)
	return append(failures, validateCoverage(path.Child("resources"), rule.Resources)...)
}

func validateWords[T ~string](path *field.Path, words []T) field.ErrorList {
	var failures field.ErrorList
	for i, word := range words {
		if word == "" {
			failures = append(failures, field.Required(path.Index(i), "must be non-empty"))
		}
	}
	return failures
}

// validateWildcard refuses a word beside the one that stands for all.
func validateWildcard[T ~string](path *field.Path, words []T) field.ErrorList {
	if len(words) > 1 && slices.Contains(words, wildcard) {
		return field.ErrorList{field.Invalid(path, words, `"*" stands for all of them and must be the only item`)}
	}
	return nil
}

// validateCoverage refuses a resource beside a wildcard that covers it.
func validateCoverage(path *field.Path, resources []string) field.ErrorList {
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
