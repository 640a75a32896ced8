package policy

import "fmt"

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
	// Err is the cause, for logs; it may be nil. It may name addresses inside the guest.
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
