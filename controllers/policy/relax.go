package policy

import (
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// relax takes from a spec what another no longer wants guarded: failurePolicy becomes
// Ignore when it is that in wanted, and rules lose what no rule of wanted covers. Nothing
// is added. This much of a change never waits, because it is how a user gets out of a
// policy that stands in the way.
func relax(spec, wanted *policiesv1.AdmissionSpec) {
	if wanted.FailurePolicy != nil && *wanted.FailurePolicy == admissionregistrationv1.Ignore {
		ignore := admissionregistrationv1.Ignore
		spec.FailurePolicy = &ignore
	}
	exact := spec.MatchPolicy != nil && *spec.MatchPolicy == admissionregistrationv1.Exact
	kept := make([]policiesv1.Rule, 0, len(spec.Rules))
	for i := range spec.Rules {
		kept = append(kept, intersectRule(spec.Rules[i], wanted.Rules, exact)...)
	}
	spec.Rules = kept
}

// intersectRule returns what of a rule the wanted rules cover: the rule itself when one of
// them covers it whole, else one rule for each that covers a part of it.
func intersectRule(rule policiesv1.Rule, wanted []policiesv1.Rule, exact bool) []policiesv1.Rule {
	var parts []policiesv1.Rule
	for i := range wanted {
		part, ok := intersect(rule, wanted[i], exact)
		if !ok {
			continue
		}
		if covers(part, rule) {
			return []policiesv1.Rule{rule}
		}
		parts = append(parts, part)
	}
	return parts
}

// intersect returns the requests that both rules match, if there are any. A rule is a
// product of its fields, and so is an intersection. Unless the match is exact, the API
// server takes versions of a resource for each other, and so they are no difference here.
func intersect(a, b policiesv1.Rule, exact bool) (policiesv1.Rule, bool) {
	part := policiesv1.Rule{
		Operations:  intersectWords(a.Operations, b.Operations),
		APIGroups:   intersectWords(a.APIGroups, b.APIGroups),
		APIVersions: a.APIVersions,
		Resources:   intersectResources(a.Resources, b.Resources),
	}
	if exact {
		part.APIVersions = intersectWords(a.APIVersions, b.APIVersions)
	}
	scope, ok := intersectScope(a, b)
	part.Scope = scope
	ok = ok && len(part.Operations) > 0 && len(part.APIGroups) > 0 && len(part.APIVersions) > 0 && len(part.Resources) > 0
	return part, ok
}

// covers says whether an intersection with a rule is the whole rule.
func covers(part, rule policiesv1.Rule) bool {
	return slices.Equal(part.Operations, rule.Operations) &&
		slices.Equal(part.APIGroups, rule.APIGroups) &&
		slices.Equal(part.APIVersions, rule.APIVersions) &&
		slices.Equal(part.Resources, rule.Resources) &&
		scopeOf(part) == scopeOf(rule)
}

func scopeOf(rule policiesv1.Rule) admissionregistrationv1.ScopeType {
	if rule.Scope == nil {
		return admissionregistrationv1.AllScopes
	}
	return *rule.Scope
}

const wildcard = "*"

// intersectWords intersects lists in which * stands for every word.
func intersectWords[T ~string](a, b []T) []T {
	switch {
	case slices.Contains(b, wildcard):
		return a
	case slices.Contains(a, wildcard):
		return b
	}
	var both []T
	for _, word := range a {
		if slices.Contains(b, word) {
			both = append(both, word)
		}
	}
	return both
}

// intersectResources intersects lists of resource/subresource, in which each half may be
// a wildcard and "resource" is the resource without its subresources.
func intersectResources(a, b []string) []string {
	var both []string
	for _, one := range a {
		for _, other := range b {
			if part, ok := intersectResource(one, other); ok && !slices.Contains(both, part) {
				both = append(both, part)
			}
		}
	}
	return both
}

func intersectResource(a, b string) (string, bool) {
	resourceA, subA, _ := strings.Cut(a, "/")
	resourceB, subB, _ := strings.Cut(b, "/")
	resource, ok := intersectWord(resourceA, resourceB)
	if !ok {
		return "", false
	}
	sub, ok := intersectWord(subA, subB)
	if !ok {
		return "", false
	}
	if sub == "" {
		return resource, true
	}
	return resource + "/" + sub, true
}

func intersectWord(a, b string) (string, bool) {
	switch {
	case b == wildcard:
		return a, true
	case a == wildcard, a == b:
		return b, true
	default:
		return "", false
	}
}

// intersectScope intersects scopes; none is every scope.
func intersectScope(a, b policiesv1.Rule) (*admissionregistrationv1.ScopeType, bool) {
	switch {
	case scopeOf(b) == admissionregistrationv1.AllScopes:
		return a.Scope, true
	case scopeOf(a) == admissionregistrationv1.AllScopes:
		return b.Scope, true
	default:
		return a.Scope, scopeOf(a) == scopeOf(b)
	}
}
