package policy

import (
	"context"
	"errors"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/protocol"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/rego"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
)

// regoGuest is what guests of modes "opa" and "gatekeeper" have in common.
type regoGuest struct{ policy *rego.Policy }

func (regoGuest) init(context.Context, *sandbox.Instance, *host.Session) error { return nil }

// validateSettings finds all settings valid: Rego guests have no way to say otherwise.
func (regoGuest) validateSettings(context.Context, *sandbox.Instance, question) (protocol.SettingsValidationResponse, error) { //nolint:unparam // a method of guest
	return protocol.SettingsValidationResponse{Valid: true}, nil
}

func (regoGuest) failure(err error) string { return "internal server error: " + err.Error() }

func (regoGuest) settingsFailure(err error) string { return err.Error() }

// errNoContextData denies a request to a policy that is to see objects of the cluster:
// judged without them it could let anything pass.
var errNoContextData = errors.New("contextAwareResources are not provided to policies written in Rego")

func (g regoGuest) evaluate(ctx context.Context, instance *sandbox.Instance, question question, query rego.Query) ([]byte, error) {
	if question.session.Grants().ReadsResources() {
		return nil, errNoContextData
	}
	query.Host = question.session
	return g.policy.Evaluate(ctx, instance, query)
}

// opaGuest is the guest of mode "opa". Its settings are its data.
type opaGuest struct{ regoGuest }

var _ guest = opaGuest{}

func (g opaGuest) validate(ctx context.Context, instance *sandbox.Instance, question question) (protocol.ValidationResponse, error) {
	result, err := g.evaluate(ctx, instance, question, rego.Query{
		Input: protocol.AppendOPAInput(nil, question.request),
		Data:  protocol.Settings(question.settings),
	})
	return decode(result, err, protocol.DecodeOPAResult)
}

// gatekeeperGuest is the guest of mode "gatekeeper". Its settings are part of its input, and
// its data is empty.
type gatekeeperGuest struct{ regoGuest }

var _ guest = gatekeeperGuest{}

// errRaw has upstream's text.
var errRaw = errors.New("Gatekeeper does not support raw validation requests") //nolint:staticcheck // upstream's text, known to users

func (g gatekeeperGuest) validate(ctx context.Context, instance *sandbox.Instance, question question) (protocol.ValidationResponse, error) {
	if question.raw {
		return protocol.ValidationResponse{}, errRaw
	}
	result, err := g.evaluate(ctx, instance, question, rego.Query{
		Input: protocol.AppendGatekeeperInput(nil, question.request, question.settings),
		Data:  []byte("{}"),
	})
	return decode(result, err, protocol.DecodeGatekeeperResult)
}
