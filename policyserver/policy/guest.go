package policy

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/metadata"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/protocol"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wapc"
)

// guest speaks the protocol of one execution mode. It has no state: that of a call is in
// the context, that of a guest in its instance.
type guest interface {
	// check says why a program cannot be called at all; it is asked once, at load.
	check(program *sandbox.Program) error
	// init makes a new instance ready for its first call.
	init(ctx context.Context, instance *sandbox.Instance, session *host.Session) error
	// validate asks about a request.
	validate(ctx context.Context, instance *sandbox.Instance, question question) (protocol.ValidationResponse, error)
	// validateSettings asks about settings alone.
	validateSettings(ctx context.Context, instance *sandbox.Instance, question question) (protocol.SettingsValidationResponse, error)
}

// question is what a guest is asked.
type question struct {
	session  *host.Session
	request  json.RawMessage
	settings json.RawMessage
}

// answerError is an error of a guest that answered, but nothing that makes sense.
type answerError struct{ err error }

func (e *answerError) Error() string { return "invalid response from policy: " + e.err.Error() }

func (e *answerError) Unwrap() error { return e.err }

// guestFor is the guest of an execution mode.
func guestFor(mode metadata.ExecutionMode) (guest, error) {
	if mode == metadata.ModeWaPC {
		return wapcGuest{}, nil
	}
	return nil, fmt.Errorf("execution mode %q is not supported, supported are: %s", mode, metadata.ModeWaPC)
}

// wapcGuest is the guest of mode "kubewarden-wapc".
type wapcGuest struct{}

var _ guest = wapcGuest{}

func (wapcGuest) check(program *sandbox.Program) error { return wapc.Check(program) }

func (wapcGuest) init(ctx context.Context, instance *sandbox.Instance, session *host.Session) error {
	return wapc.Init(ctx, instance, session)
}

func (wapcGuest) validate(ctx context.Context, instance *sandbox.Instance, question question) (protocol.ValidationResponse, error) {
	size := len(question.request) + len(question.settings) + len(`{"request":,"settings":{}}`)
	answer, err := wapc.Invoke(ctx, instance, wapc.Request{
		Operation: "validate",
		Payload:   protocol.AppendValidationRequest(make([]byte, 0, size), question.request, question.settings),
		Host:      question.session,
	})
	if err != nil {
		return protocol.ValidationResponse{}, err
	}
	response, err := protocol.DecodeValidationResponse(answer)
	if err != nil {
		return protocol.ValidationResponse{}, &answerError{err}
	}
	return response, nil
}

func (wapcGuest) validateSettings(ctx context.Context, instance *sandbox.Instance, question question) (protocol.SettingsValidationResponse, error) {
	answer, err := wapc.Invoke(ctx, instance, wapc.Request{
		Operation: "validate_settings",
		Payload:   protocol.Settings(question.settings),
		Host:      question.session,
	})
	if err != nil {
		return protocol.SettingsValidationResponse{}, err
	}
	response, err := protocol.DecodeSettingsValidationResponse(answer)
	if err != nil {
		return protocol.SettingsValidationResponse{}, &answerError{err}
	}
	return response, nil
}
