package wasi

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
)

// startFunction runs a command.
const startFunction = "_start"

// programName is a command's own name, its first argument; it is upstream's.
const programName = "policy.wasm"

// maxStdout bounds a command's answer: an object as large as an API server takes, several
// times over.
const maxStdout = 16 << 20

// maxStdin bounds what a command has not read yet: each host call adds to it.
const maxStdin = 32 << 20

// Host is what a command's host calls go to.
type Host interface {
	Call(ctx context.Context, call host.Call) ([]byte, error)
}

// Command is one run of a command.
type Command struct {
	// Args are its arguments, without its own name.
	Args []string
	// Stdin is what it reads. It is not written to.
	Stdin []byte
	Host  Host
}

// CommandError says that a command failed: it ended with another code than 0, or in a trap.
type CommandError struct {
	// Stderr is what it wrote to its standard error, without space around it.
	Stderr string
	// Err is the *sandbox.ExitError or the trap.
	Err error
}

// Error is what the command wrote, or else how it ended.
func (c *CommandError) Error() string {
	if c.Stderr != "" {
		return c.Stderr
	}
	return c.Err.Error()
}

// Unwrap returns how the command ended.
func (c *CommandError) Unwrap() error { return c.Err }

// exchange is the state of a run.
type exchange struct{ host Host }

// CheckCommand says why the program is no command.
func CheckCommand(program *sandbox.Program) error { return program.CheckExport(startFunction, 0, 0) }

// Park runs a command with these arguments in a new instance until it is about to read its
// standard input. The error is one of Program.Park.
func Park(ctx context.Context, program *sandbox.Program, command Command) (*sandbox.Instance, error) {
	call := sandbox.CallFrom(ctx)
	call.Protocol = &exchange{host: command.Host}
	call.Args = append([]string{programName}, command.Args...)
	call.Stdout = sandbox.NewStream(maxStdout)
	return program.Park(ctx)
}

// Run runs a command in a new instance, or has one go on that was parked with the same
// arguments, and returns what it wrote to its standard output.
// The error is a *CommandError, or one of Instance.Invoke that the command has not caused.
func Run(ctx context.Context, instance *sandbox.Instance, command Command) ([]byte, error) {
	call := sandbox.CallFrom(ctx)
	call.Protocol = &exchange{host: command.Host}
	call.Args = append([]string{programName}, command.Args...)
	call.Stdin = command.Stdin
	call.Stdout = sandbox.NewStream(maxStdout)
	var err error
	if instance.Parked() {
		err = instance.Resume(ctx)
	} else {
		_, err = instance.Invoke(ctx, startFunction)
	}
	answer, cut := call.Stdout.Bytes()
	call.Stdout = sandbox.Stream{} // it is the answer and nothing for the log
	exit, exited := errors.AsType[*sandbox.ExitError](err)
	defect, broken := errors.AsType[*sandbox.HostError](err)
	switch {
	case errors.Is(err, sandbox.ErrDeadline), errors.Is(err, sandbox.ErrCanceled):
		return nil, err
	case broken:
		return nil, defect
	case err != nil && (!exited || exit.Code != 0):
		return nil, &CommandError{Stderr: strings.TrimSpace(call.Stderr.String()), Err: err}
	case cut:
		return nil, &CommandError{Err: sandbox.Violationf("guest wrote more than %d bytes to its standard output", maxStdout)}
	default:
		return answer, nil
	}
}

// HostModules are what commands import their host calls from: upstream's name, and that of
// its SDK for JavaScript.
func HostModules() []sandbox.HostModule {
	call := sandbox.Function{Name: "call", Params: sandbox.I32(8), Results: sandbox.I32(1), Run: hostCall}
	return []sandbox.HostModule{
		{Name: "host", Functions: []sandbox.Function{call}},
		{Name: "kubewarden:javy/host", Functions: []sandbox.Function{call}},
	}
}

// Results of a host call; a waPC guest's are the other way round.
const (
	callSucceeded = 0
	callFailed    = 1
)

// hostCall appends the answer or the text of the error to what the command reads.
func hostCall(ctx context.Context, guest sandbox.Guest, stack []uint64) error {
	state, ok := guest.Call.Protocol.(*exchange)
	if !ok {
		return sandbox.Violationf("the host was called before the command was")
	}
	request, err := host.ReadCall(guest.Memory, stack)
	if err != nil {
		return err
	}
	result := uint64(callSucceeded)
	answer, err := state.host.Call(ctx, request)
	if err != nil {
		answer, result = []byte(err.Error()), callFailed
	}
	left := guest.Call.Stdin
	if len(left)+len(answer) > maxStdin {
		return sandbox.Violationf("guest leaves more than %d bytes of its standard input unread", maxStdin)
	}
	// A copy: what follows the input in memory may be another request's.
	guest.Call.Stdin = slices.Concat(left, answer)
	stack[0] = result
	return nil
}
