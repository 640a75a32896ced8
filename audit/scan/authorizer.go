package scan

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// rights answers the checks of match conditions. Who will make a request like the one that is
// replayed is not known, so rights are those of the scanner itself: the only ones that
// everybody may ask about. They hold for a whole scan.
type rights struct {
	client client.Client

	mu    sync.Mutex
	known map[right]authorizer.Decision
}

// right is what an account may or may not do, as a SelfSubjectAccessReview asks.
type right struct {
	resource authorizationv1.ResourceAttributes
	path     authorizationv1.NonResourceAttributes
}

const (
	// maxKnownRights bounds what is remembered: a check may name each object.
	maxKnownRights = 10_000
	// rightsTimeout bounds one question; match conditions hand on no deadline.
	rightsTimeout = 10 * time.Second
)

func newRights(c client.Client) *rights {
	return &rights{client: c, known: map[right]authorizer.Decision{}}
}

// Why a check is not answered.
var (
	errOtherAccount = errors.New("only the rights of the scanner itself can be found out")
	errSelector     = errors.New("rights that a selector limits cannot be found out")
)

// witness asks for rights on behalf of one question, and remembers what could not be
// answered: a match condition takes that for a no, and an audit must not.
type witness struct {
	*rights
	unanswered error
}

// Authorize implements authorizer.UnconditionalAuthorizer.
func (w *witness) Authorize(ctx context.Context, attributes authorizer.Attributes) (authorizer.Decision, string, error) {
	decision, err := w.decide(ctx, attributes)
	if err != nil {
		w.unanswered = errors.Join(w.unanswered, err)
	}
	return decision, "", err
}

func (r *rights) decide(ctx context.Context, attributes authorizer.Attributes) (authorizer.Decision, error) {
	wanted, err := newRight(attributes)
	if err != nil {
		return authorizer.DecisionNoOpinion, err
	}
	r.mu.Lock()
	decision, known := r.known[wanted]
	r.mu.Unlock()
	if known {
		return decision, nil
	}
	if decision, err = r.ask(ctx, wanted); err != nil {
		return authorizer.DecisionNoOpinion, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.known) < maxKnownRights {
		r.known[wanted] = decision
	}
	return decision, nil
}

func newRight(attributes authorizer.Attributes) (right, error) {
	if name := attributes.GetUser().GetName(); name != somebody.Name {
		return right{}, fmt.Errorf("find out the rights of %s: %w", name, errOtherAccount)
	}
	if !attributes.IsResourceRequest() {
		return right{path: authorizationv1.NonResourceAttributes{Path: attributes.GetPath(), Verb: attributes.GetVerb()}}, nil
	}
	fieldRequirements, fieldErr := attributes.GetFieldSelector()
	labelRequirements, labelErr := attributes.GetLabelSelector()
	if fieldErr != nil || labelErr != nil || len(fieldRequirements)+len(labelRequirements) > 0 {
		return right{}, errSelector
	}
	return right{resource: authorizationv1.ResourceAttributes{
		Namespace: attributes.GetNamespace(), Verb: attributes.GetVerb(),
		Group: attributes.GetAPIGroup(), Version: attributes.GetAPIVersion(),
		Resource: attributes.GetResource(), Subresource: attributes.GetSubresource(), Name: attributes.GetName(),
	}}, nil
}

func (r *rights) ask(ctx context.Context, wanted right) (authorizer.Decision, error) {
	ctx, cancel := context.WithTimeout(ctx, rightsTimeout)
	defer cancel()
	review := &authorizationv1.SelfSubjectAccessReview{}
	if wanted.path.Verb != "" {
		review.Spec.NonResourceAttributes = &wanted.path
	} else {
		review.Spec.ResourceAttributes = &wanted.resource
	}
	if err := r.client.Create(ctx, review); err != nil {
		return authorizer.DecisionNoOpinion, fmt.Errorf("find out the rights of the scanner: %w", err)
	}
	switch {
	case review.Status.Allowed:
		return authorizer.DecisionAllow, nil
	case review.Status.Denied:
		return authorizer.DecisionDeny, nil
	default:
		return authorizer.DecisionNoOpinion, nil
	}
}
