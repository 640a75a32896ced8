package plan

import (
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubewarden/kubewarden-operator/matching"
)

// builder collects questions by the storage of objects: whatever versions rules name, a
// policy is asked about an object once.
type builder struct {
	operations []matching.Operation
	unknown    []schema.GroupVersion
	storages   []*storage
	skips      []Skip
}

// storage is a kind of objects with all versions in which the cluster serves it.
type storage struct {
	versions []Resource
	// questions has one list per version.
	questions [][]Question
}

func newBuilder(in Input) *builder {
	b := &builder{operations: in.Operations, unknown: in.Unknown}
	if len(b.operations) == 0 {
		b.operations = []matching.Operation{matching.Create}
	}
	byKey := map[string]*storage{}
	for _, resource := range in.Resources {
		key := resource.Storage
		if key == "" {
			key = resource.GVR.GroupResource().String()
		}
		s, known := byKey[key]
		if !known {
			s = &storage{}
			byKey[key] = s
			b.storages = append(b.storages, s)
		}
		s.versions = append(s.versions, resource)
		s.questions = append(s.questions, nil)
	}
	return b
}

func (b *builder) plan() *Plan {
	plan := &Plan{skips: b.skips}
	for _, s := range b.storages {
		kind := Kind{Namespaced: s.versions[0].Namespaced}
		for i, questions := range s.questions {
			if len(questions) > 0 {
				kind.Versions = append(kind.Versions, Version{Resource: s.versions[i].Resource, Questions: questions})
			}
		}
		if len(kind.Versions) > 0 {
			plan.kinds = append(plan.kinds, kind)
		}
	}
	return plan
}

func (b *builder) skip(policy *Policy, reason Reason, subject, message string) {
	b.skips = append(b.skips, Skip{PolicyID: policy.ID, Reason: reason, Subject: subject, Message: message})
}

// add looks for reasons not to audit the policy, first hit wins, and puts it to every kind
// that its rules match.
func (b *builder) add(compiler *matching.Compiler, policy *Policy) {
	replayed := b.replayedRules(policy.Webhook.Rules)
	switch {
	case !policy.BackgroundAudit:
		b.skip(policy, ReasonBackgroundAuditDisabled, "", "its spec says backgroundAudit: false")
		return
	case policy.Deleting:
		b.skip(policy, ReasonDeleting, "", "it is being deleted")
		return
	case policy.State != StateActive:
		b.skip(policy, ReasonNotActive, "", "its status is "+orUnknown(policy.State))
		return
	case len(replayed) == 0:
		b.skip(policy, ReasonOperationNotReplayed, "", "no rule has an operation that is replayed: "+b.operationsInWords())
		return
	}
	matcher, err := compiler.Compile(policy.Webhook)
	if err != nil {
		b.skip(policy, ReasonInvalid, "", err.Error())
		return
	}
	b.explainRules(policy, replayed)
	asked := false
	for _, s := range b.storages {
		if b.put(s, policy, matcher) {
			asked = true
		}
	}
	b.explainOperations(policy)
	if !asked {
		b.skip(policy, ReasonNothingToList, "", "none of its rules matches a kind of objects that can be audited")
	}
}

func orUnknown(state string) string {
	if state == "" {
		return "not known yet"
	}
	return state
}

// put asks the policy about each operation on the objects of a storage, in the first version
// in which its rules match. It says whether there is one.
func (b *builder) put(s *storage, policy *Policy, matcher *matching.Matcher) bool {
	asked := false
	for _, operation := range b.operations {
		i := slices.IndexFunc(s.versions, func(version Resource) bool {
			return matching.Covers(policy.Webhook.Rules, operation, version.Resource)
		})
		if i < 0 {
			continue
		}
		if reason, message := excluded(policy, s.versions[i]); reason != "" {
			b.skip(policy, reason, s.versions[i].GVR.GroupResource().String(), message)
			return asked
		}
		s.questions[i] = append(s.questions[i], Question{Policy: policy, Operation: operation, Matcher: matcher})
		asked = true
	}
	return asked
}

// check is one reason not to ask a policy about a kind that its rules match.
type check struct {
	reason  Reason
	message string
	applies func(*Policy, Resource) bool
}

// checks in the order in which they are made; the first hit wins.
var checks = []check{
	{ReasonNeverCalled, "policies are never asked about it", func(_ *Policy, r Resource) bool {
		return matching.NeverCalled(r.Resource) || neverCalledGroups[r.GVR.Group]
	}},
	{ReasonReports, "a report about a report would need a report itself", func(_ *Policy, r Resource) bool {
		return reportGroups[r.GVR.Group]
	}},
	{ReasonNotListable, "the API server cannot list it", func(_ *Policy, r Resource) bool {
		return !r.Listable
	}},
	{ReasonOutsideNamespace, "the policy is bound to a namespace, and these objects live in none", func(p *Policy, r Resource) bool {
		return p.Namespace != "" && !r.Namespaced
	}},
	{ReasonVolatile, "only a wildcard names it, and its objects come and go too fast to be worth a report each", func(p *Policy, r Resource) bool {
		return volatile[r.GVR.Resource] && !namesResource(p.Webhook.Rules, r.GVR.Resource)
	}},
}

// neverCalledGroups are those that the match condition of every webhook leaves out whole.
var neverCalledGroups = map[string]bool{
	"operator.kubewarden.io": true,
	"authentication.k8s.io":  true,
	"authorization.k8s.io":   true,
}

// reportGroups hold reports about objects, of this scanner and of others.
var reportGroups = map[string]bool{
	"wgpolicyk8s.io":     true,
	"openreports.io":     true,
	"reports.kyverno.io": true,
}

// volatile resources are rewritten by the cluster itself, many times an hour.
var volatile = map[string]bool{
	"events":         true,
	"leases":         true,
	"endpoints":      true,
	"endpointslices": true,
}

func excluded(policy *Policy, resource Resource) (Reason, string) {
	for _, c := range checks {
		if c.applies(policy, resource) {
			return c.reason, c.message
		}
	}
	return "", ""
}

// replayedRules are those that have an operation which is replayed.
func (b *builder) replayedRules(rules []admissionregistrationv1.RuleWithOperations) []admissionregistrationv1.RuleWithOperations {
	var replayed []admissionregistrationv1.RuleWithOperations
	for _, rule := range rules {
		if slices.ContainsFunc(rule.Operations, b.replays) {
			replayed = append(replayed, rule)
		}
	}
	return replayed
}

func (b *builder) replays(operation admissionregistrationv1.OperationType) bool {
	return operation == admissionregistrationv1.OperationAll || slices.Contains(b.operations, matching.Operation(operation))
}

func (b *builder) operationsInWords() string {
	words := make([]string, 0, len(b.operations))
	for _, operation := range b.operations {
		words = append(words, string(operation))
	}
	return strings.Join(words, ", ")
}

func namesResource(rules []admissionregistrationv1.RuleWithOperations, resource string) bool {
	for _, rule := range rules {
		for _, named := range rule.Resources {
			plural, _, _ := strings.Cut(named, "/")
			if plural == resource {
				return true
			}
		}
	}
	return false
}
