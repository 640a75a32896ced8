package fetch

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Error is what Client.Fetch returns when it returns an error.
type Error struct {
	reason contract.Reason
	err    error
}

// Reason classifies the error; contract.Reason.Transient says whether another attempt
// can help.
func (e *Error) Reason() contract.Reason { return e.reason }

func (e *Error) Error() string { return e.err.Error() }

func (e *Error) Unwrap() error { return e.err }

// refuse is an error of a known reason.
func refuse(reason contract.Reason, format string, arguments ...any) *Error {
	return &Error{reason, fmt.Errorf(format, arguments...)}
}

// classify keeps the reason of an error that has one and derives it otherwise: from the
// status that a registry answered with, or else it is the network's fault.
func classify(err error) *Error {
	var classified *Error
	var answered *transport.Error
	switch {
	case errors.As(err, &classified):
		return &Error{classified.reason, err}
	case errors.As(err, &answered):
		return &Error{reasonOfStatus(answered.StatusCode), err}
	default:
		return &Error{contract.ReasonFetchFailed, err}
	}
}

func reasonOfStatus(status int) contract.Reason {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return contract.ReasonModuleForbidden
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests:
		return contract.ReasonFetchFailed
	case status >= 400 && status < 500:
		return contract.ReasonModuleNotFound
	default:
		return contract.ReasonFetchFailed
	}
}
