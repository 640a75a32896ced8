package evaluation

import (
	"context"
	"errors"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
)

// guest is a module with settings and grants: what a policy, or a member of a group, asks.
type guest struct {
	module *sharedModule
	// from is where the module came from.
	from source
	call policy.Call
	// isolation is how calls get an instance; "" is as for all policies of the module.
	isolation policy.Isolation
	// timeout bounds one evaluation; 0 does not.
	timeout time.Duration
}

// judge is the guest's verdict. A guest that fails or takes too long denies.
func (g *guest) judge(ctx context.Context, request Request, varies *bool) (Response, error) {
	verdict, failure, err := g.ask(ctx, request, varies)
	if failure != nil {
		return failed(failure.Message), nil //nolint:nilerr // the failure of a guest is a verdict
	}
	return verdict, err
}

// ask is the guest's verdict, or else the failure that the guest is to blame for, or else
// an *Error. varies becomes true when the verdict may be another one the next time.
func (g *guest) ask(ctx context.Context, request Request, varies *bool) (Response, *policy.Error, error) {
	ctx, cancel := within(ctx, g.timeout)
	defer cancel()
	call := g.call
	call.Raw, call.Varies = request.Origin == OriginRaw, varies
	answer, err := g.module.Validate(ctx, call, request.Document)
	var verdict Response
	if err == nil {
		verdict, err = fromPolicy(answer, request.Object)
	}
	if err != nil {
		*varies = true
	}
	failure, is := errors.AsType[*policy.Error](err)
	switch {
	case err == nil:
		return verdict, nil, nil
	case is && (failure.Kind == policy.KindTimeout || failure.Kind == policy.KindGuest):
		return Response{}, failure, nil
	case is && failure.Kind == policy.KindUnavailable:
		return Response{}, nil, &Error{KindUnavailable, err}
	default:
		return Response{}, nil, &Error{KindInternal, err}
	}
}

// within bounds a context by a timeout; 0 does not.
func within(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}
