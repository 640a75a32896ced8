package objects

import (
	"context"
	"encoding/json"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewarden/kubewarden-operator/policyserver/capability/answers"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

// canI answers with what the API server says of a SubjectAccessReview: its status. No kind
// has to be granted for it; the policy of a namespace asks about that namespace alone.
func (c *Capability) canI(ctx context.Context, request host.Request) ([]byte, error) {
	spec, uncached, err := decodeCanI(request.Payload)
	if err != nil {
		return nil, host.RefusalError(err.Error())
	}
	if err := request.CheckScope("reviews of access", host.Scope(spec.ResourceAttributes.Namespace)); err != nil {
		return nil, err
	}
	key, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("encode review: %w", err)
	}
	return c.ask(ctx, uncached, answers.Question{Key: keyOf("review", string(key)), Asker: request.PolicyID}, func(ctx context.Context) ([]byte, error) {
		review := &authorizationv1.SubjectAccessReview{Spec: spec}
		made, err := c.config.Clients.Reviews.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		switch {
		case apierrors.IsForbidden(err):
			return nil, fmt.Errorf(`the account of the policy server lacks the right to create subjectaccessreviews (apiGroup "authorization.k8s.io"): %w`, err)
		case err != nil:
			return nil, fmt.Errorf("create SubjectAccessReview: %w", err)
		}
		return json.Marshal(made.Status)
	})
}
