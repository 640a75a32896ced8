package wapc

import (
	"context"
	"unicode/utf8"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
)

// Bounds on what a guest hands over. A response holds at most an object as large as an
// API server takes, several times over.
const (
	maxResponse = 16 << 20
	maxText     = 64 << 10
)

// Module are the functions that waPC guests import.
func Module() sandbox.HostModule {
	functions := []struct {
		name    string
		params  int
		results int
		run     func(context.Context, call) error
	}{
		{"__guest_request", 2, 0, guestRequest},
		{"__guest_response", 2, 0, guestResponse},
		{"__guest_error", 2, 0, guestError},
		{"__host_call", 8, 1, hostCall},
		{"__host_response_len", 0, 1, hostResponseLen},
		{"__host_response", 1, 0, hostResponse},
		{"__host_error_len", 0, 1, hostErrorLen},
		{"__host_error", 1, 0, hostError},
		{"__console_log", 2, 0, consoleLog},
	}
	module := sandbox.HostModule{Name: "wapc"}
	for _, function := range functions {
		run := function.run
		module.Functions = append(module.Functions, sandbox.Function{
			Name:    function.name,
			Params:  sandbox.I32(function.params),
			Results: sandbox.I32(function.results),
			Run: func(ctx context.Context, guest sandbox.Guest, stack []uint64) error {
				state, ok := guest.Call.Protocol.(*exchange)
				if !ok {
					return sandbox.Violationf("a waPC function was called before the guest was")
				}
				return run(ctx, call{exchange: state, memory: guest.Memory, stack: stack})
			},
		})
	}
	return module
}

// call is one call of an imported function.
type call struct {
	*exchange
	memory sandbox.Memory
	stack  []uint64
}

// arg is a parameter. The high bits of the stack are not part of an i32.
func (c call) arg(index int) uint32 { return uint32(c.stack[index]) }

func (c call) result(value uint32) { c.stack[0] = uint64(value) }

// argument is the text that the first two parameters name.
func (c call) argument(what string) (string, error) {
	text, err := sandbox.Argument{What: what, Limit: maxText}.Read(c.memory, c.stack)
	if err != nil {
		return "", err
	}
	if !utf8.Valid(text) {
		return "", sandbox.Violationf("%s is not valid UTF-8", what)
	}
	return string(text), nil
}

// guestRequest writes the payload first, as upstream does: where a guest gives
// overlapping addresses the operation wins.
func guestRequest(_ context.Context, c call) error {
	if err := c.memory.Write(c.arg(1), c.payload); err != nil {
		return err
	}
	return c.memory.WriteString(c.arg(0), c.operation)
}

func guestResponse(_ context.Context, c call) error {
	response, err := sandbox.Argument{What: "response", Limit: maxResponse}.Read(c.memory, c.stack)
	if err != nil {
		return err
	}
	c.response, c.responded = append(c.response[:0], response...), true
	return nil
}

func guestError(_ context.Context, c call) error {
	text, err := c.argument("error message")
	if err != nil {
		return err
	}
	c.text, c.failed = text, true
	return nil
}

func hostCall(ctx context.Context, c call) error {
	c.hostResponse, c.hostError = nil, ""
	request, err := host.ReadCall(c.memory, c.stack)
	if err != nil {
		return err
	}
	response, err := c.host.Call(ctx, request)
	if err != nil {
		c.hostError = err.Error()
		c.result(0)
		return nil
	}
	c.hostResponse = response
	c.result(1)
	return nil
}

func hostResponseLen(_ context.Context, c call) error {
	c.result(uint32(len(c.hostResponse)))
	return nil
}

func hostResponse(_ context.Context, c call) error {
	return c.memory.Write(c.arg(0), c.hostResponse)
}

func hostErrorLen(_ context.Context, c call) error {
	c.result(uint32(len(c.hostError)))
	return nil
}

func hostError(_ context.Context, c call) error {
	return c.memory.WriteString(c.arg(0), c.hostError)
}

func consoleLog(ctx context.Context, c call) error {
	text, err := c.argument("console text")
	if err != nil {
		return err
	}
	c.host.Output(ctx, "console", text)
	return nil
}
