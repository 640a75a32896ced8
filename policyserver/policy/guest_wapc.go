package policy

import (
	"context"
	"errors"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/protocol"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wapc"
)

// wapcGuest is the guest of mode "kubewarden-wapc".
type wapcGuest struct{}

var _ guest = wapcGuest{}

func (wapcGuest) init(ctx context.Context, instance *sandbox.Instance, session *host.Session) error {
	return wapc.Init(ctx, instance, session)
}

func (wapcGuest) validate(ctx context.Context, instance *sandbox.Instance, question question) (protocol.ValidationResponse, error) {
	answer, err := wapc.Invoke(ctx, instance, wapc.Request{
		Operation: "validate",
		Payload:   question.document(),
		Host:      question.session,
	})
	return decode(answer, err, protocol.DecodeValidationResponse)
}

func (wapcGuest) validateSettings(ctx context.Context, instance *sandbox.Instance, question question) (protocol.SettingsValidationResponse, error) {
	answer, err := wapc.Invoke(ctx, instance, wapc.Request{
		Operation: "validate_settings",
		Payload:   protocol.Settings(question.settings),
		Host:      question.session,
	})
	return decode(answer, err, protocol.DecodeSettingsValidationResponse)
}

// failure has upstream's texts.
func (wapcGuest) failure(err error) string {
	if answer, ok := errors.AsType[*answerError](err); ok {
		return "internal server error: invalid response from policy: " + answer.Error()
	}
	return "internal server error: Guest call failure: " + err.Error()
}

// settingsFailure has upstream's texts.
func (wapcGuest) settingsFailure(err error) string {
	if answer, ok := errors.AsType[*answerError](err); ok {
		return "error: " + answer.Error()
	}
	return "Error invoking settings validation callback: " + err.Error()
}
