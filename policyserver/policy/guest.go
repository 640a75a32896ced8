package policy

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/metadata"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/protocol"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/rego"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wapc"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasi"
)

// guest speaks the protocol of one execution mode to one program. It does not change: the
// state of a call is in the context, that of a guest in its instance.
type guest interface {
	// init makes a new instance ready for its first call.
	init(ctx context.Context, instance *sandbox.Instance, session *host.Session) error
	// validate asks about a request.
	validate(ctx context.Context, instance *sandbox.Instance, question question) (protocol.ValidationResponse, error)
	// validateSettings asks about settings alone.
	validateSettings(ctx context.Context, instance *sandbox.Instance, question question) (protocol.SettingsValidationResponse, error)
	// failure is what the user of a request is told when the guest is to blame for an error.
	failure(err error) string
	// settingsFailure is the same for settings.
	settingsFailure(err error) string
}

// question is what a guest is asked.
type question struct {
	session  *host.Session
	from     instances // one of which is asked
	request  json.RawMessage
	settings json.RawMessage
	raw      bool // the request is no AdmissionRequest

	// Of guests that are readers.
	data  data
	known *rego.Data // where the data lies in an instance that has read it
}

// document is the request and the settings as guests of several modes are asked with them.
func (q question) document() []byte {
	size := len(q.request) + len(q.settings) + len(`{"request":,"settings":{}}`)
	return protocol.AppendValidationRequest(make([]byte, 0, size), q.request, q.settings)
}

// answerError is an error of a guest that answered, but nothing that makes sense.
type answerError struct{ err error }

func (e *answerError) Error() string { return e.err.Error() }

func (e *answerError) Unwrap() error { return e.err }

// decode decodes an answer unless there is an error in its place.
func decode[T any](answer []byte, err error, decoder func([]byte) (T, error)) (T, error) {
	var none T
	if err != nil {
		return none, err
	}
	decoded, err := decoder(answer)
	if err != nil {
		return none, &answerError{err}
	}
	return decoded, nil
}

// guestFor is the guest of an execution mode for a program. The context is that of a Call;
// the error says why the program cannot be called at all.
func guestFor(ctx context.Context, mode metadata.ExecutionMode, program *sandbox.Program) (guest, error) {
	switch mode {
	case metadata.ModeWaPC:
		return wapcGuest{}, wapc.Check(program)
	case metadata.ModeOPA, metadata.ModeGatekeeper:
		policy, err := rego.Load(ctx, program)
		if mode == metadata.ModeGatekeeper {
			return gatekeeperGuest{regoGuest{policy}}, err
		}
		return opaGuest{regoGuest{policy}}, err
	case metadata.ModeWASI:
		return wasiGuest{}, wasi.CheckCommand(program)
	default:
		return nil, fmt.Errorf("execution mode %q is not supported", mode)
	}
}
