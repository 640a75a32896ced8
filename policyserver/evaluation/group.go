package evaluation

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/groups"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
)

// group is a policy group: members, and an expression over their verdicts.
type group struct {
	id         string
	expression *groups.Expression
	// text is the expression as it was written.
	text, message string
	members       map[string]*guest
	// timeout bounds one evaluation of the whole; 0 does not.
	timeout time.Duration
	trace   TraceGroup // nil for none
	log     *slog.Logger
}

// Upstream's texts (crate policy-evaluator, policy_group_evaluator).
const (
	messageMutationInGroup  = "mutation is not allowed inside of policy group"
	messageExpressionFailed = "error evaluating policy group expression: "
	fieldOfMember           = "spec.policies."
)

// errMemberFailed ends the evaluation of an expression. The member that failed is among
// the causes.
var errMemberFailed = errors.New("a member of the policy group failed")

// judge is the group's verdict: the value of the expression. A denial has the group's
// message, and for a cause each member that was asked and rejected, in the order in which
// they were asked. A member that fails denies, whatever the expression makes of the
// others; it is a cause as well. Warnings and audit annotations of members go nowhere.
func (g *group) judge(ctx context.Context, request Request, varies *bool) (Response, error) {
	ctx, cancel := within(ctx, g.timeout)
	defer cancel()
	if g.trace != nil {
		traced, end := g.trace(ctx, g.asked())
		defer end()
		ctx = traced
	}
	var causes []Cause
	accepted, err := g.expression.Evaluate(func(name string) (bool, error) {
		verdict, failure, err := g.members[name].ask(ctx, request, varies)
		switch {
		case failure != nil:
			g.log.WarnContext(ctx, "member of a policy group failed", "policy_id", g.id, "member", name, "request_uid", request.UID, "error", failure)
			causes = append(causes, memberCause(name, &failure.Message))
			return false, errMemberFailed
		case err != nil:
			return false, err
		case verdict.Patch != nil:
			verdict = denial(messageMutationInGroup)
		}
		if !verdict.Allowed {
			causes = append(causes, memberCause(name, verdict.message()))
		}
		return verdict.Allowed, nil
	})
	switch {
	case errors.Is(err, errMemberFailed):
		return g.denial(causes), nil
	case err != nil:
		return g.unjudged(ctx, err)
	case accepted:
		return Response{Allowed: true}, nil
	default:
		return g.denial(causes), nil
	}
}

// asked describes the group for a trace.
func (g *group) asked() GroupAsked {
	return GroupAsked{PolicyID: g.id, Expression: g.text, Message: g.message, Members: slices.Sorted(maps.Keys(g.members))}
}

// unjudged is for a member that could not be asked: what may pass is tried again by the
// caller, anything else denies.
func (g *group) unjudged(ctx context.Context, err error) (Response, error) {
	if failure, is := errors.AsType[*Error](err); is && failure.Kind == KindUnavailable {
		return Response{}, err
	}
	g.log.ErrorContext(ctx, "policy group not evaluated", "policy_id", g.id, "error", err)
	text := "internal server error"
	if engine, is := errors.AsType[*policy.Error](err); is {
		text = engine.Message
	}
	return failed(messageExpressionFailed + text), nil
}

func (g *group) denial(causes []Cause) Response {
	response := denial(g.message)
	if len(causes) > 0 {
		response.Status.Details = &Details{Causes: causes}
	}
	return response
}

func memberCause(name string, message *string) Cause {
	return Cause{Message: message, Field: new(fieldOfMember + name)}
}

// prepareGroup makes a group out of its entry: the expression first, then member by member
// grants, module and settings. One bad member fails the group.
func (l *Loader) prepareGroup(ctx context.Context, id string, entry contract.Entry, from supply) (*servedPolicy, error) {
	expression, err := groups.Compile(entry.Expression, memberNames(entry))
	if err != nil {
		return nil, &loadError{reason: contract.ReasonInvalidEntry, message: messageExpressionFailed + err.Error(), ofExpression: true}
	}
	served := &servedPolicy{group: &group{
		id: id, expression: expression, text: entry.Expression, message: entry.Message, members: make(map[string]*guest, len(entry.Policies)),
		trace: l.config.TraceGroup, log: l.config.Logger,
	}}
	sources, digests := sourcesOf(entry, from.trust), make(map[string]string, len(entry.Policies))
	for i, name := range memberNames(entry) {
		asked, err := l.newGuest(memberID(id, name), entry.Policies[name])
		if err == nil {
			asked.isolation = policy.Isolation(entry.InstanceMode)
			err = l.load(ctx, asked, sources[i], from.fetcher)
		}
		if err != nil {
			holds := served.modulesOf()
			served.release()
			return nil, &memberError{name: name, url: sources[i].url, err: err, holds: holds}
		}
		served.group.members[name] = asked
		digests[name] = asked.module.digest
	}
	served.digest = contract.GroupDigest(digests)
	served.group.timeout = l.groupTimeout(served.group, entry)
	return served, nil
}

// groupTimeout is the time that the members of an expression may take together: that of
// each with a timeout of its own, and once the server's for all others. Admission holds the
// sum of the former to the timeout of the webhook.
func (l *Loader) groupTimeout(of *group, entry contract.Entry) time.Duration {
	sum, others := time.Duration(0), false
	for _, name := range of.expression.Called() {
		if entry.Policies[name].TimeoutEvalSeconds == nil {
			others = true
			continue
		}
		sum += of.members[name].timeout
	}
	switch {
	case !others:
		return sum
	case l.config.PolicyTimeout == 0:
		return 0
	default:
		return sum + l.config.PolicyTimeout
	}
}

// groupUnderEntry is underEntry for a group. The expression is part of what served; a
// member that the entry has no more may do nothing.
func (l *Loader) groupUnderEntry(earlier *group, entry contract.Entry) *group {
	served := *earlier
	served.members = make(map[string]*guest, len(earlier.members))
	for name, member := range earlier.members {
		served.members[name] = l.underMember(member, entry.Policies[name])
	}
	if entry.Message != "" {
		served.message = entry.Message
	}
	served.timeout = l.groupTimeout(&served, entry)
	return &served
}
