package report

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubewarden/kubewarden-operator/audit/plan"
	"github.com/kubewarden/kubewarden-operator/matching"
)

// Source is the value of `source` in every result; upstream's.
const Source = "kubewarden"

// Outcome of asking a policy about an object.
type Outcome string

// The outcomes that an audit has. Both report APIs also know warn, which upstream never
// writes: what a policy in monitor mode denies is a failure of severity info.
const (
	// OutcomePass: the policy allows.
	OutcomePass Outcome = "pass"
	// OutcomeFail: the policy denies, whatever its mode.
	OutcomeFail Outcome = "fail"
	// OutcomeError: the policy was asked, or would have been, and there is no verdict.
	OutcomeError Outcome = "error"
	// OutcomeSkip: the policy was not asked, since it cannot be found out whether it would be.
	// What is known to be none of a policy's business has no result.
	OutcomeSkip Outcome = "skip"
)

// severities are those that both report APIs allow; any other value would make the API
// server refuse the whole report.
var severities = []string{"critical", "high", "medium", "low", "info"}

// severityMonitor is the severity of a policy in monitor mode, whatever it says of itself.
const severityMonitor = "info"

// Severities lists the severities that a policy may name.
func Severities() []string { return slices.Clone(severities) }

// Result is what one policy said about one operation on the object.
type Result struct {
	Policy *plan.Policy
	// Operation that was simulated; "" is its creation.
	Operation matching.Operation
	Outcome   Outcome
	// Message is the policy's own, the error, or why it was not asked. It is taken for foreign
	// text: see clean and tell.
	Message string
	// Time at which the policy was asked.
	Time time.Time
	// Basis is a hash of everything that the verdict followed from, so that a later scan
	// need not ask again while it is the same; "" when it may be another one all the same.
	Basis string
}

// Report is everything that was said about one object.
type Report struct {
	// Scope is the object; its namespace is "" for an object of the cluster.
	Scope corev1.ObjectReference
	// Results in any order.
	Results []Result
}

// Name of the report of an object: its UID, as upstream has it.
func (r Report) Name() string { return string(r.Scope.UID) }

// Summary counts results. It is always a recount of the results that stand beside it.
type Summary struct{ Pass, Fail, Warn, Error, Skip int }

// content is a report in neither of the two APIs: what both have, in the order in which it
// is written.
type content struct {
	Scope   corev1.ObjectReference
	Summary Summary
	Results []entry
	// LeftOut is the value of AnnotationLeftOut; "" when all is there.
	LeftOut string
}

// entry is a result as it is written.
type entry struct {
	Policy     string
	Rule       string
	Category   string
	Severity   string
	Outcome    Outcome
	Message    string
	Seconds    int64
	Properties map[string]string
}

// content sorts the results by policy and rule, so that the same answers make the same
// report, and bounds them.
func (r Report) content() content {
	results := slices.SortedFunc(slices.Values(r.Results), func(a, b Result) int {
		return cmp.Or(cmp.Compare(a.Policy.ID, b.Policy.ID), cmp.Compare(a.rule(), b.rule()))
	})
	c := content{Scope: r.Scope}
	for _, result := range results {
		c.Results = append(c.Results, result.entry())
	}
	c.bound()
	c.Summary = count(c.Results)
	return c
}

func count(results []entry) Summary {
	var summary Summary
	for _, result := range results {
		switch result.Outcome {
		case OutcomePass:
			summary.Pass++
		case OutcomeFail:
			summary.Fail++
		case OutcomeError:
			summary.Error++
		case OutcomeSkip:
			summary.Skip++
		}
	}
	return summary
}

// rule tells the results of one policy apart. As upstream has it the creation has none.
func (r Result) rule() string {
	if r.Operation == matching.Create {
		return ""
	}
	return string(r.Operation)
}

func (r Result) entry() entry {
	message := tell(r.Message, maxMessage)
	props := properties(r.Policy)
	if sealed := seal(r.Basis, r.Outcome, message); sealed != "" {
		props[propertyVerdictBasis] = sealed
	}
	return entry{
		Policy:     r.Policy.ID,
		Rule:       r.rule(),
		Category:   tell(r.Policy.Category, maxCategory),
		Severity:   severity(r.Policy),
		Outcome:    r.Outcome,
		Message:    message,
		Seconds:    r.Time.Unix(),
		Properties: props,
	}
}

func severity(policy *plan.Policy) string {
	switch {
	case policy.Monitor:
		return severityMonitor
	case slices.Contains(severities, policy.Severity):
		return policy.Severity
	default:
		return ""
	}
}

// Properties of a result; upstream's names.
const (
	propertyMutating              = "mutating"
	propertyValidating            = "validating"
	propertyContextAware          = "context-aware"
	propertyPolicyName            = "policy-name"
	propertyPolicyNamespace       = "policy-namespace"
	propertyPolicyUID             = "policy-uid"
	propertyPolicyResourceVersion = "policy-resource-version"
)

// propertyVerdictBasis is ours: the hash by which a later scan sees that it need not ask
// again. Results that must be asked for each time have none.
const propertyVerdictBasis = "verdict-basis"

func properties(policy *plan.Policy) map[string]string {
	p := map[string]string{
		propertyPolicyName:            policy.Name,
		propertyPolicyUID:             string(policy.UID),
		propertyPolicyResourceVersion: policy.ResourceVersion,
	}
	yes := strconv.FormatBool(true)
	if policy.Mutating {
		p[propertyMutating] = yes
	} else {
		p[propertyValidating] = yes
	}
	if policy.ContextAware {
		p[propertyContextAware] = yes
	}
	if policy.Namespace != "" {
		p[propertyPolicyNamespace] = policy.Namespace
	}
	return p
}

// kindOf is the kind of objects that a reference is of, in whatever version.
func kindOf(scope corev1.ObjectReference) schema.GroupKind {
	return schema.FromAPIVersionAndKind(scope.APIVersion, scope.Kind).GroupKind()
}
