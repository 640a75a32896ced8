package access

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

const (
	// goodFor is how long an account is believed to have a right: whoever takes it away
	// is told within this time.
	goodFor = 5 * time.Minute
	// badFor is how long it is believed to lack one, or an answer not to be had: whoever
	// grants it wants to see that it helped.
	badFor = 15 * time.Second
	// settling is how long a lack must last to be told of. Policies, roles and bindings
	// are often written together, and API servers learn of bindings a moment late.
	settling = 5 * time.Second
	// maxAnswers bounds what is remembered: beyond it the reviewer forgets what is out of
	// date, and then everything.
	maxAnswers = 4096
	// maxKinds bounds what is asked about one policy.
	maxKinds = 64
)

// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create

// creator has the API server answer a question: client.Client does.
type creator interface {
	Create(ctx context.Context, object client.Object, options ...client.CreateOption) error
}

// Config is what a Reviewer works with. Every field is needed.
type Config struct {
	Client creator
	// Mapper knows which kinds the API server serves.
	Mapper apimeta.RESTMapper
	// Now is the clock.
	Now func() time.Time
}

// Reviewer asks what accounts may do, each question once in a while, whoever wants to know.
// It is safe for concurrent use.
type Reviewer struct {
	Config
	mutex   sync.Mutex
	answers map[question]answer
}

// NewReviewer returns a Reviewer that knows nothing yet.
func NewReviewer(config Config) *Reviewer {
	return &Reviewer{Config: config, answers: map[question]answer{}}
}

// Lack is a rule, and those of its verbs that an account lacks.
type Lack struct {
	Rule
	Missing []string
}

// Finding is what is known of an account's rights to read certain kinds.
type Finding struct {
	// Lacks and Unserved are what is wrong: rights that are missing, kinds that the API
	// server does not serve. They are in the order of the question.
	Lacks    []Lack
	Unserved []policiesv1.ContextAwareResource
	// Unsettled says that something is wrong since a moment only, and may pass.
	Unsettled bool
	// Failed says why some of it could not be asked; nil when all of it was.
	Failed error
	// After is when to ask again.
	After time.Duration
}

// Review says which of the kinds an account may not read in all namespaces.
func (r *Reviewer) Review(ctx context.Context, account types.NamespacedName, kinds []policiesv1.ContextAwareResource) Finding {
	finding := Finding{After: goodFor}
	if len(kinds) > maxKinds {
		finding.Failed = fmt.Errorf("of %d kinds that are declared, the rights to read the first %d are looked at", len(kinds), maxKinds)
		kinds = kinds[:maxKinds]
	}
	for _, kind := range kinds {
		answer := r.answer(ctx, question{account: account, kind: kind})
		now := r.Now()
		finding.After = min(finding.After, max(answer.until.Sub(now), time.Second))
		switch {
		case answer.failed != nil:
			finding.Failed = errors.Join(finding.Failed, answer.failed)
			continue
		case !answer.wrong():
			continue
		case answer.unserved:
			finding.Unserved = append(finding.Unserved, kind)
		default:
			finding.Lacks = append(finding.Lacks, answer.lack)
		}
		finding.Unsettled = finding.Unsettled || !answer.settled()
	}
	return finding
}

// question is whether an account may read a kind.
type question struct {
	account types.NamespacedName
	kind    policiesv1.ContextAwareResource
}

// answer is what the API server said to a question.
type answer struct {
	// at is when it said so, and until how long it is believed.
	at, until time.Time
	// lack has the verbs that are missing, if any; unserved says that there is no such kind.
	lack     Lack
	unserved bool
	// wrongSince is when either was first seen; zero when nothing is wrong.
	wrongSince time.Time
	// failed says why there is no answer.
	failed error
}

func (a answer) wrong() bool { return a.unserved || len(a.lack.Missing) > 0 }

func (a answer) settled() bool { return a.at.Sub(a.wrongSince) >= settling }

// lifetime is how long the answer is believed.
func (a answer) lifetime() time.Duration {
	switch {
	case a.failed != nil:
		return badFor
	case !a.wrong():
		return goodFor
	case !a.settled():
		return settling
	default:
		return badFor
	}
}

// answer asks unless the answer is known. Two that want to know at the same time may ask
// twice. While a question fails, the answer of before stands.
func (r *Reviewer) answer(ctx context.Context, question question) answer {
	now := r.Now()
	r.mutex.Lock()
	before, known := r.answers[question]
	r.mutex.Unlock()
	if known && now.Before(before.until) {
		return before
	}
	after := r.ask(ctx, question)
	after.at = now
	if after.wrong() {
		after.wrongSince = now
		if before.wrong() {
			after.wrongSince = before.wrongSince
		}
	}
	after.until = now.Add(after.lifetime())
	if after.failed != nil && known && before.failed == nil {
		before.until = after.until
		after = before
	}
	r.remember(now, question, after)
	return after
}

// remember keeps an answer, and makes room for it.
func (r *Reviewer) remember(now time.Time, question question, answer answer) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if len(r.answers) >= maxAnswers {
		for old, known := range r.answers {
			if !now.Before(known.until) {
				delete(r.answers, old)
			}
		}
	}
	if len(r.answers) >= maxAnswers {
		clear(r.answers)
	}
	r.answers[question] = answer
}

// ask has the API server say which verbs the account lacks.
func (r *Reviewer) ask(ctx context.Context, question question) answer {
	rule, err := ruleFor(r.Mapper, question.kind)
	if apimeta.IsNoMatchError(err) {
		return answer{unserved: true}
	}
	if err != nil {
		return answer{failed: err}
	}
	lack := Lack{Rule: rule}
	for _, verb := range rule.Verbs {
		allowed, err := r.allowed(ctx, question.account, rule, verb)
		if err != nil {
			return answer{failed: err}
		}
		if !allowed {
			lack.Missing = append(lack.Missing, verb)
		}
	}
	return answer{lack: lack}
}

// allowed asks about one verb. No namespace means all of them.
func (r *Reviewer) allowed(ctx context.Context, account types.NamespacedName, rule Rule, verb string) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:   "system:serviceaccount:" + account.Namespace + ":" + account.Name,
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + account.Namespace, "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Group: rule.Group, Version: "*", Resource: rule.Resource, Verb: verb,
		},
	}}
	if err := r.Client.Create(ctx, review); err != nil {
		return false, fmt.Errorf("ask whether ServiceAccount %s may %s %s: %w", account, verb, rule.Resource, err)
	}
	return review.Status.Allowed, nil
}
