package policy

import (
	"context"
	"errors"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/protocol"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasi"
)

// wasiGuest is the guest of mode "wasi": a command that is run with the name of what is
// asked as its argument and the question as its standard input.
type wasiGuest struct{}

var _ guest = wasiGuest{}

func (wasiGuest) init(context.Context, *sandbox.Instance, *host.Session) error { return nil }

// park makes an instance that waits for a request.
func (wasiGuest) park(ctx context.Context, program *sandbox.Program, session *host.Session) (*sandbox.Instance, error) {
	return wasi.Park(ctx, program, wasi.Command{Args: []string{"validate"}, Host: session})
}

func (wasiGuest) validate(ctx context.Context, instance *sandbox.Instance, question question) (protocol.ValidationResponse, error) {
	answer, err := wasi.Run(ctx, instance, wasi.Command{
		Args:  []string{"validate"},
		Stdin: question.document(),
		Host:  question.session,
	})
	return decode(answer, err, protocol.DecodeValidationResponse)
}

func (wasiGuest) validateSettings(ctx context.Context, instance *sandbox.Instance, question question) (protocol.SettingsValidationResponse, error) {
	answer, err := wasi.Run(ctx, instance, wasi.Command{
		Args:  []string{"validate-settings"},
		Stdin: protocol.Settings(question.settings),
		Host:  question.session,
	})
	return decode(answer, err, protocol.DecodeSettingsValidationResponse)
}

// failure has upstream's texts: what a failing command wrote is the message as it is.
func (wasiGuest) failure(err error) string {
	if answer, ok := errors.AsType[*answerError](err); ok {
		return "internal server error: Cannot deserialize policy validation response: " + answer.Error()
	}
	return err.Error()
}

// settingsFailure has upstream's texts.
func (wasiGuest) settingsFailure(err error) string {
	if answer, ok := errors.AsType[*answerError](err); ok {
		return "Cannot deserialize settings validation response: " + answer.Error()
	}
	return err.Error()
}
