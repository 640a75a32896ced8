package scan

import (
	"context"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/audit/plan"
	"github.com/kubewarden/kubewarden-operator/matching"
)

// verdictOn says whether a question is put about an object: it is when why is empty. An error
// is of a match condition that failed: an API server would refuse the request, and the
// result says so. What cannot be told apart by looking at the object, why an audit does not
// know whether the policy is asked about it, stands in unknown.
type verdictOn struct {
	why     plan.Reason
	unknown error
	err     error
}

// reasons are the words of a plan for what keeps a request from a webhook.
var reasons = map[matching.Why]plan.Reason{
	matching.WhyMatches:           "",
	matching.WhyNamespaceSelector: plan.ReasonNamespaceSelector,
	matching.WhyObjectSelector:    plan.ReasonObjectSelector,
	matching.WhyRules:             plan.ReasonRules,
	matching.WhyMatchCondition:    plan.ReasonMatchCondition,
}

// matcher decides, for one object, which questions are put. It is not safe for concurrent use.
type matcher struct {
	*run
	resource matching.Resource
	object   *item
	labels   map[string]string
	// metadata and whole are the object as it is shown to matchers, each once it is needed.
	metadata, whole client.Object
	// neverAsked is, by operation, whether no policy is asked at all; it is the same for all.
	neverAsked map[matching.Operation]verdictOn
}

func (r *run) matcher(resource matching.Resource, object *item, labels map[string]string) *matcher {
	return &matcher{run: r, resource: resource, object: object, labels: labels, neverAsked: map[matching.Operation]verdictOn{}}
}

// decide looks for what keeps a question from being put. One condition that is false does,
// whatever became of the others, as in an API server.
func (m *matcher) decide(ctx context.Context, question plan.Question) verdictOn {
	decision := m.match(ctx, question.Matcher, question.Operation)
	if m.common == nil || decision.isCertain() && decision.why != "" {
		return decision
	}
	if common := m.decideForAll(ctx, question.Operation); common.isCertain() && common.why != "" || decision.isCertain() {
		return common
	}
	return decision
}

// decideForAll looks for what keeps every policy from being asked about the operation.
func (m *matcher) decideForAll(ctx context.Context, operation matching.Operation) verdictOn {
	common, known := m.neverAsked[operation]
	if !known {
		common = m.match(ctx, m.common, operation)
		if common.why == plan.ReasonMatchCondition {
			common.why = plan.ReasonNeverLockOut
		}
		m.neverAsked[operation] = common
	}
	return common
}

// isCertain says whether everything could be evaluated.
func (v verdictOn) isCertain() bool { return v.err == nil && v.unknown == nil }

func (m *matcher) match(ctx context.Context, webhook *matching.Matcher, operation matching.Operation) verdictOn {
	witness := &witness{rights: m.rights}
	object, err := m.shownTo(webhook)
	if err != nil {
		return verdictOn{err: err}
	}
	request := simulation(operation, m.resource, object, m.labels)
	request.Authorizer = witness
	outcome, err := webhook.Match(ctx, request)
	switch {
	case witness.unanswered != nil:
		return verdictOn{why: plan.ReasonAuthorizer, unknown: witness.unanswered}
	case err != nil:
		return verdictOn{err: err}
	default:
		return verdictOn{why: reasons[outcome.Why]}
	}
}

// shownTo is the object as far as a webhook looks at it to match: it is decoded where one looks
// at all of it.
func (m *matcher) shownTo(webhook *matching.Matcher) (client.Object, error) {
	if !webhook.ReadsObject() {
		if m.metadata == nil {
			m.metadata = m.object.metadata()
		}
		return m.metadata, nil
	}
	if m.whole == nil {
		whole, err := m.object.whole()
		if err != nil {
			return nil, err
		}
		m.whole = whole
	}
	return m.whole, nil
}

// compileCommon compiles the match condition that the operator adds to every webhook; it is
// nil when there is none.
func compileCommon(compiler *matching.Compiler, expression string) (*matching.Matcher, error) {
	if expression == "" {
		return nil, nil //nolint:nilnil // without a condition every policy is asked
	}
	everything := admissionregistrationv1.Rule{APIGroups: []string{"*"}, APIVersions: []string{"*"}, Resources: []string{"*/*"}}
	common, err := compiler.Compile(matching.Webhook{
		Name: "common",
		Rules: []admissionregistrationv1.RuleWithOperations{{
			Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.OperationAll}, Rule: everything,
		}},
		MatchConditions: []admissionregistrationv1.MatchCondition{{Name: "common", Expression: expression}},
	})
	if err != nil {
		return nil, fmt.Errorf("compile the match condition of all webhooks: %w", err)
	}
	return common, nil
}
