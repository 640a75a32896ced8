package plan

import (
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubewarden/kubewarden-operator/matching"
)

// explainRules keeps a reason for each resource of a rule that matches nothing which the
// cluster serves in any of the rule's groups and versions, and for each of these of which the
// cluster does not say what it serves.
func (b *builder) explainRules(policy *Policy, rules []admissionregistrationv1.RuleWithOperations) {
	for _, version := range b.unknown {
		if slices.ContainsFunc(rules, func(rule admissionregistrationv1.RuleWithOperations) bool { return namesVersion(rule, version) }) {
			b.skip(policy, ReasonNotDiscovered, "everything in "+version.String(), "the API server does not say what it serves there")
		}
	}
	for _, rule := range rules {
		unknown := slices.ContainsFunc(b.unknown, func(version schema.GroupVersion) bool { return namesVersion(rule, version) })
		for _, named := range rule.Resources {
			subject := ruleSubject(rule, named)
			switch {
			case b.servesAny(rule, named):
			case strings.Contains(named, "/"):
				b.skip(policy, ReasonSubresource, subject, "requests for subresources leave nothing behind to audit")
			case !unknown:
				b.skip(policy, ReasonNotServed, subject, "the API server serves no such resource in these groups, versions and scope")
			}
		}
	}
}

// namesVersion says whether a rule is about a version of a group.
func namesVersion(rule admissionregistrationv1.RuleWithOperations, version schema.GroupVersion) bool {
	const all = "*"
	named := func(names []string, name string) bool {
		return slices.Contains(names, name) || slices.Contains(names, all)
	}
	return named(rule.APIGroups, version.Group) && named(rule.APIVersions, version.Version)
}

// explainOperations keeps a reason for what only such rules of a policy match as have no
// operation that is replayed. It is to be called once all is known that the policy is asked.
func (b *builder) explainOperations(policy *Policy) {
	for _, rule := range policy.Webhook.Rules {
		if slices.ContainsFunc(rule.Operations, b.replays) {
			continue
		}
		for _, named := range rule.Resources {
			if b.leavesOut(policy, rule, named) {
				b.skip(policy, ReasonOperationNotReplayed, ruleSubject(rule, named), "the rule has no operation that is replayed: "+b.operationsInWords())
			}
		}
	}
}

// leavesOut says whether there is something that the rule would match, were its operations
// others, and that the policy is not asked about.
func (b *builder) leavesOut(policy *Policy, rule admissionregistrationv1.RuleWithOperations, named string) bool {
	rule.Resources = []string{named}
	rule.Operations = []admissionregistrationv1.OperationType{admissionregistrationv1.OperationAll}
	would := []admissionregistrationv1.RuleWithOperations{rule}
	return slices.ContainsFunc(b.storages, func(s *storage) bool {
		return s.matched(would, b.operations) && !s.asks(policy)
	})
}

// asks says whether the policy is asked about the objects in some version.
func (s *storage) asks(policy *Policy) bool {
	return slices.ContainsFunc(s.questions, func(questions []Question) bool {
		return slices.ContainsFunc(questions, func(question Question) bool { return question.Policy == policy })
	})
}

func (b *builder) servesAny(rule admissionregistrationv1.RuleWithOperations, named string) bool {
	rule.Resources = []string{named}
	only := []admissionregistrationv1.RuleWithOperations{rule}
	for _, s := range b.storages {
		if s.matched(only, b.operations) {
			return true
		}
	}
	return false
}

// matched says whether the rules match an operation on the objects in some version.
func (s *storage) matched(rules []admissionregistrationv1.RuleWithOperations, operations []matching.Operation) bool {
	for _, version := range s.versions {
		for _, operation := range operations {
			if matching.Covers(rules, operation, version.Resource) {
				return true
			}
		}
	}
	return false
}

// ruleSubject names a part of a rule, such as "pods/exec in group [] version [v1]".
func ruleSubject(rule admissionregistrationv1.RuleWithOperations, named string) string {
	return named + " in group [" + strings.Join(rule.APIGroups, " ") + "] version [" + strings.Join(rule.APIVersions, " ") + "]"
}
