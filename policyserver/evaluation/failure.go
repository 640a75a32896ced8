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
}

func (e *loadError) Error() string { return e.message }

// newFailure says why an entry could not be prepared.
func newFailure(id, hash string, entry contract.Entry, err error) *Failure {
	failure := &Failure{Wanted: hash, Reason: reasonOf(err), Cause: messageOf(err), mode: entry.PolicyMode}
	_, fetching := errors.AsType[*fetchError](err)
	switch {
	case fetching:
		failure.Message = fmt.Sprintf("bootstrap failure: %s: Error while downloading policy '%s' from %s: %s", id, id, entry.Module, failure.Cause)
	case failure.Reason == contract.ReasonInvalidSettings:
		failure.Message = failure.Cause
	default:
		failure.Message = fmt.Sprintf("bootstrap failure: %s: %s", id, failure.Cause)
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
	case errors.As(err, &fetching), errors.Is(err, context.DeadlineExceeded):
		return contract.ReasonFetchFailed
	default:
		return contract.ReasonUnavailable
	}
}

// messageOf is what a user is told of an error; the causes inside a guest stay in the log.
func messageOf(err error) string {
	if engine, is := errors.AsType[*policy.Error](err); is {
		return engine.Message
	}
	return err.Error()
}
