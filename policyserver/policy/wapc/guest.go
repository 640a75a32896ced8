package wapc

import (
	"context"
	"errors"
	"fmt"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
)

// callFunction is the function that a guest answers calls with.
const callFunction = "__guest_call"

// initFunctions are called once for each new instance, in this order, where the module
// has them. _initialize is that of Go's c-shared modules, without which they do not run.
var initFunctions = []string{"_initialize", "_start", "wapc_init"}

// Host is what a guest's host calls and log lines go to.
type Host interface {
	Call(ctx context.Context, call host.Call) ([]byte, error)
	Output(ctx context.Context, stream, text string)
}

// Error is an error that the guest reports, or the lack of an answer.
type Error struct{ Text string }

// Error is the guest's text.
func (e *Error) Error() string { return e.Text }

// exchange is the state of one call.
type exchange struct {
	host      Host
	operation string
	payload   []byte

	response  []byte
	responded bool
	text      string // of the guest's error
	failed    bool

	hostResponse []byte
	hostError    string
}

// Check says why the program is no waPC guest.
func Check(program *sandbox.Program) error {
	if err := program.CheckExport(callFunction, 2, 1); err != nil {
		return err
	}
	for _, function := range initFunctions {
		if !program.Exports(function) {
			continue
		}
		if err := program.CheckExport(function, 0, 0); err != nil {
			return err
		}
	}
	return nil
}

// Init initialises a new instance. A guest that exits with code 0 has succeeded.
func Init(ctx context.Context, instance *sandbox.Instance, to Host) error {
	sandbox.CallFrom(ctx).Protocol = &exchange{host: to}
	for _, function := range initFunctions {
		if !instance.Program().Exports(function) {
			continue
		}
		_, err := instance.Invoke(ctx, function)
		if exit := (*sandbox.ExitError)(nil); errors.As(err, &exit) && exit.Code == 0 {
			err = nil
		}
		if err != nil {
			return fmt.Errorf("initialize guest by %s: %w", function, err)
		}
	}
	return nil
}

// Request is one operation of a guest.
type Request struct {
	Operation string
	Payload   []byte
	Host      Host
}

// Invoke calls an operation and returns its answer. The error is an *Error or one of
// those of Instance.Invoke.
func Invoke(ctx context.Context, instance *sandbox.Instance, request Request) ([]byte, error) {
	state := &exchange{host: request.Host, operation: request.Operation, payload: request.Payload}
	sandbox.CallFrom(ctx).Protocol = state
	results, err := instance.Invoke(ctx, callFunction, uint64(len(request.Operation)), uint64(len(request.Payload)))
	if err != nil {
		return nil, err
	}
	switch succeeded := uint32(results[0]) != 0; {
	case succeeded && state.responded:
		return state.response, nil
	case state.failed:
		return nil, &Error{Text: state.text}
	case succeeded:
		return nil, &Error{Text: "No error message OR response set for call success"}
	default:
		return nil, &Error{Text: "No error message set for call failure"}
	}
}
