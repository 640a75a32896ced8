package sandbox

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
)

// ExitError says that a guest ended itself. The instance can be called again.
type ExitError struct{ Code uint32 }

// Error names the code.
func (e *ExitError) Error() string { return fmt.Sprintf("guest exited with code %d", e.Code) }

// ViolationError says that a guest broke the rules of an imported function, with an address
// outside its memory for example.
type ViolationError struct{ Reason string }

// Violationf is a ViolationError with a formatted reason.
func Violationf(format string, args ...any) *ViolationError {
	return &ViolationError{Reason: fmt.Sprintf(format, args...)}
}

// Error is the reason.
func (v *ViolationError) Error() string { return v.Reason }

// TrapError says that a guest was ended by a trap.
type TrapError struct {
	// Reason is one line: "wasm error: unreachable" for example.
	Reason string
	// Err holds the guest's stack as well.
	Err error
}

// Error is the reason.
func (t *TrapError) Error() string { return t.Reason }

// Unwrap returns the error with the guest's stack.
func (t *TrapError) Unwrap() error { return t.Err }

// HostError says that the host itself failed while a guest ran. It is a defect of ours.
type HostError struct{ Err error }

// Error says what happened.
func (h *HostError) Error() string { return "host failed: " + h.Err.Error() }

// Unwrap returns the cause.
func (h *HostError) Unwrap() error { return h.Err }

// failure sorts an error of wazero into ErrDeadline, ErrCanceled, *ExitError, *ViolationError,
// *HostError or *TrapError.
func failure(err error) error {
	if err == nil {
		return nil
	}
	return sorted(err)
}

// sorted is failure for what is an error: its variables are on the heap.
func sorted(err error) error {
	var exit *ExitError
	var violation *ViolationError
	var trap *TrapError
	var host *HostError
	var defect runtime.Error
	switch {
	case errors.Is(err, ErrDeadline):
		return ErrDeadline
	case errors.Is(err, ErrCanceled):
		return ErrCanceled
	case errors.As(err, &exit):
		return exit
	case errors.As(err, &violation):
		return violation
	case errors.As(err, &trap): // of a guest that an imported function called
		return trap
	case errors.As(err, &host):
		return host
	case errors.As(err, &defect):
		return &HostError{Err: err}
	default:
		reason, _, _ := strings.Cut(err.Error(), "\n")
		return &TrapError{Reason: reason, Err: err}
	}
}
