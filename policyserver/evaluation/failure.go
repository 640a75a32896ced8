package evaluation

import (
	"context"
	"errors"
	"fmt"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
)

// Failure says why the wanted revision of a policy is not served.
type Failure struct {
	// Wanted is contract.EntryHash of the entry.
	Wanted string
	Reason contract.Reason
	// Message is what a request gets to see when no earlier revision is there to answer
	// it; the forms are upstream's.
	Message string
	// Cause is the same for somebody who sees policy and reason beside it.
	Cause string

	// mode is the entry's, as far as it could be read.
	mode contract.Mode
	// lack is the room that there was not; nil for another reason.
	lack *lack
}

// fetchError marks an error of a Fetcher: upstream words those in its own way.
type fetchError struct{ err error }

func (e *fetchError) Error() string { return e.err.Error() }

func (e *fetchError) Unwrap() error { return e.err }

// loadError is a failure to prepare an entry, as far as it does not depend on the entry.
type loadError struct {
	reason  contract.Reason
	message string
	// slow says that only time was lacking.
	slow bool
	// ofExpression says that the expression of a group is to blame.
	ofExpression bool
}

func (e *loadError) Error() string { return e.message }

// memberError is a failure of one member of a group.
type memberError struct {
	name, url string
	err       error
	// holds are the sizes of the modules of members before it, by digest.
	holds map[string]int64
}

func (e *memberError) Error() string { return "member " + e.name + ": " + messageOf(e.err) }

func (e *memberError) Unwrap() error { return e.err }

// newFailure says why an entry could not be prepared.
func newFailure(id, hash string, entry contract.Entry, err error) *Failure {
	failure := &Failure{Wanted: hash, Reason: reasonOf(err), Cause: messageOf(err), mode: entry.PolicyMode, lack: lackOf(err)}
	// Upstream names a member of a group in two ways.
	name, downloaded, url, cause := id, id, entry.Module, failure.Cause
	if member, is := errors.AsType[*memberError](err); is {
		name, downloaded, url, cause = memberID(id, member.name), memberID(id, "#"+member.name), member.url, messageOf(member.err)
	}
	_, fetching := errors.AsType[*fetchError](err)
	loading, isLoading := errors.AsType[*loadError](err)
	switch {
	case failure.Reason == contract.ReasonUnverified:
		failure.Message = fmt.Sprintf("bootstrap failure: %s: Policy '%s' cannot be verified: %s", name, downloaded, cause)
	case fetching:
		failure.Message = fmt.Sprintf("bootstrap failure: %s: Error while downloading policy '%s' from %s: %s", name, downloaded, url, cause)
	case failure.Reason == contract.ReasonInvalidSettings, isLoading && loading.ofExpression:
		failure.Message = failure.Cause
	default:
		failure.Message = fmt.Sprintf("bootstrap failure: %s: %s", name, cause)
	}
	return failure
}

// reasonOf asks each layer that can fail for the reason; what none of them classifies is
// tried again.
func reasonOf(err error) contract.Reason {
	var loading *loadError
	var classified interface{ Reason() contract.Reason }
	var engine *policy.Error
	var fetching *fetchError
	switch {
	case errors.As(err, &loading):
		return loading.reason
	case errors.As(err, &classified):
		return classified.Reason()
	case errors.As(err, &engine) && engine.Kind == policy.KindInvalidModule:
		return contract.ReasonInvalidModule
	case errors.As(err, &engine) && engine.Kind == policy.KindNoRoom:
		return contract.ReasonNoRoom
	case errors.As(err, &fetching), errors.Is(err, context.DeadlineExceeded):
		return contract.ReasonFetchFailed
	default:
		return contract.ReasonUnavailable
	}
}

// messageOf is what a user is told of an error; the causes inside a guest stay in the log.
func messageOf(err error) string {
	if member, is := errors.AsType[*memberError](err); is {
		return member.Error()
	}
	if engine, is := errors.AsType[*policy.Error](err); is {
		return engine.Message
	}
	return err.Error()
}
