package policy

import (
	"errors"
	"fmt"

	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/protocol"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
)

// Kind says who caused an Error, and so what its reader does about it.
type Kind int

const (
	// KindInternal is a failure of the host: neither the guest nor its caller caused it.
	KindInternal Kind = iota
	// KindTimeout says that the deadline passed before the guest answered. The policy did
	// not decide: the request is denied with code 500.
	KindTimeout
	// KindGuest says that the guest failed: it trapped, reported an error, or answered
	// what is no answer. The request is denied with code 500.
	KindGuest
	// KindInvalidModule says that the bytes are no module the engine can run. It comes
	// from Engine.Compile only and stays true for these bytes.
	KindInvalidModule
	// KindUnavailable says that the caller gave up or the engine is closed. Asking again
	// can help.
	KindUnavailable
	// KindNoRoom says that there is no memory for the module. It comes from Engine.Compile
	// only; asking again can help when other modules were closed.
	KindNoRoom
)

// String is the kind's name in logs and metrics.
func (k Kind) String() string {
	switch k {
	case KindTimeout:
		return "timeout"
	case KindGuest:
		return "guest"
	case KindInvalidModule:
		return "invalid-module"
	case KindUnavailable:
		return "unavailable"
	case KindNoRoom:
		return "no-room"
	case KindInternal:
		return "internal"
	default:
		return fmt.Sprintf("Kind(%d)", int(k))
	}
}

// Error is what every method of Engine and Module returns when it returns an error.
type Error struct {
	// Kind says who caused it.
	Kind Kind
	// Message is what a user is told: as a verdict's status message, or as the reason why
	// a policy does not load. Where upstream has a text for the case it is upstream's.
	Message string
	// Err is the cause, for logs; it may be nil. It may hold the guest's stack.
	Err error
}

// Error is the message and, where it adds something, the cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Message
	}
	return e.Message + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// messageTimeout is upstream's text for waPC guests; users and alerts know it.
const messageTimeout = "Policy execution interrupted because it exceeded the allowed execution time"

// callError tells the errors of a call apart that say the same whatever was called. It is
// nil when the guest is to blame.
func callError(err error) *Error {
	var known *Error
	var defect *sandbox.HostError
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, sandbox.ErrDeadline):
		return &Error{Kind: KindTimeout, Message: messageTimeout}
	case errors.Is(err, sandbox.ErrCanceled):
		return &Error{Kind: KindUnavailable, Message: "policy execution was canceled", Err: err}
	case errors.As(err, &defect):
		return &Error{Kind: KindInternal, Message: "internal server error", Err: err}
	default:
		return nil
	}
}

// validateError is what the caller of Validate is told.
func validateError(guest guest, err error) *Error {
	if known := callError(err); known != nil {
		return known
	}
	// Whoever may choose the request could else have it let through, by its size.
	if over, is := errors.AsType[*memory.OverError](err); is {
		return &Error{Kind: KindGuest, Message: over.Error(), Err: err}
	}
	return &Error{Kind: KindGuest, Message: guest.failure(err), Err: stack(err)}
}

// settingsError is what the caller of ValidateSettings is told: settings over which a
// guest fails are invalid.
func settingsError(guest guest, err error) (protocol.SettingsValidationResponse, error) {
	if known := callError(err); known != nil {
		return protocol.SettingsValidationResponse{}, known
	}
	if over, is := errors.AsType[*memory.OverError](err); is { // no fault of the settings
		return protocol.SettingsValidationResponse{}, &Error{Kind: KindUnavailable, Message: over.Error(), Err: err}
	}
	return protocol.SettingsValidationResponse{Message: new(guest.settingsFailure(err))}, nil
}

// stack is the part of a trap that is for logs only.
func stack(err error) error {
	if trap, ok := errors.AsType[*sandbox.TrapError](err); ok {
		return trap.Err
	}
	return nil
}
