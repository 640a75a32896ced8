package matching

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	"k8s.io/apiserver/pkg/cel/environment"
)

// Webhook is the part of a webhook that decides which requests reach it. A field that is
// left out has the default that the API server gives it.
type Webhook struct {
	// Name is the name of the webhook; errors and metrics of match conditions bear it.
	Name string
	// Rules say which operations on which resources match.
	Rules []admissionregistrationv1.RuleWithOperations
	// MatchPolicy says whether a rule also matches the same objects in other groups and
	// versions; Equivalent when nil.
	MatchPolicy *admissionregistrationv1.MatchPolicyType
	// FailurePolicy says what a failing match condition means: Fail refuses the request,
	// Ignore does not match. Fail when nil.
	FailurePolicy *admissionregistrationv1.FailurePolicyType
	// NamespaceSelector selects by the labels of the namespace; nil selects all.
	NamespaceSelector *metav1.LabelSelector
	// ObjectSelector selects by the labels of the object; nil selects all.
	ObjectSelector *metav1.LabelSelector
	// MatchConditions must all be true.
	MatchConditions []admissionregistrationv1.MatchCondition
}

// Compiler compiles webhooks. The CEL environment in it is costly, so one is enough for a
// process. It is safe for concurrent use.
type Compiler struct {
	conditions cel.ConditionCompiler
}

// NewCompiler makes a Compiler with the CEL environment of the API server.
func NewCompiler() *Compiler {
	base := environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion())
	return &Compiler{conditions: cel.NewConditionCompiler(base)}
}

// Matcher is a compiled webhook. It is safe for concurrent use.
type Matcher struct {
	rules      []admissionregistrationv1.RuleWithOperations
	equivalent bool
	namespace  labels.Selector
	object     labels.Selector
	// conditions is nil when the webhook has none.
	conditions matchconditions.Matcher
	// readsObject says that a condition may look at more of the object than its metadata.
	readsObject bool
}

// ReadsObject says whether Match may look at more of the objects of a request than at their
// labels: whether a match condition reads them.
func (m *Matcher) ReadsObject() bool { return m.readsObject }

// Compile compiles a webhook. Its error names each selector and each match condition that
// is not valid.
func (c *Compiler) Compile(webhook Webhook) (*Matcher, error) {
	namespace, namespaceErr := selector("namespaceSelector", webhook.NamespaceSelector)
	object, objectErr := selector("objectSelector", webhook.ObjectSelector)
	conditions, conditionsErr := c.compileConditions(webhook)
	if err := errors.Join(namespaceErr, objectErr, conditionsErr); err != nil {
		return nil, err
	}
	return &Matcher{
		rules:      webhook.Rules,
		equivalent: webhook.MatchPolicy == nil || *webhook.MatchPolicy == admissionregistrationv1.Equivalent,
		namespace:  namespace,
		object:     object,
		conditions: conditions,
		readsObject: slices.ContainsFunc(webhook.MatchConditions, func(condition admissionregistrationv1.MatchCondition) bool {
			// That is a part of both names that an object has in CEL, object and oldObject.
			return strings.Contains(condition.Expression, "bject")
		}),
	}, nil
}

// selector parses a label selector. The API server defaults an absent one to the empty
// one, which selects everything; the conversion alone would make it select nothing.
func selector(field string, s *metav1.LabelSelector) (labels.Selector, error) {
	if s == nil {
		return labels.Everything(), nil
	}
	parsed, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	return parsed, nil
}

func (c *Compiler) compileConditions(webhook Webhook) (matchconditions.Matcher, error) {
	if len(webhook.MatchConditions) == 0 {
		return nil, nil //nolint:nilnil // no conditions is not an error, and Match looks
	}
	expressions := make([]cel.ExpressionAccessor, 0, len(webhook.MatchConditions))
	for i := range webhook.MatchConditions {
		condition := matchconditions.MatchCondition(webhook.MatchConditions[i])
		expressions = append(expressions, &condition)
	}
	declared := cel.OptionalVariableDeclarations{HasAuthorizer: true}
	evaluator := c.conditions.CompileCondition(expressions, declared, environment.StoredExpressions)
	if errs := evaluator.CompilationErrors(); len(errs) > 0 {
		return nil, fmt.Errorf("matchConditions: %w", errors.Join(errs...))
	}
	return matchconditions.NewMatcher(evaluator, webhook.FailurePolicy, "webhook", "validate", webhook.Name), nil
}
