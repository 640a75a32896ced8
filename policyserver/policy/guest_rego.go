package policy

import (
	"context"
	"errors"
	"fmt"

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

func (g regoGuest) evaluate(ctx context.Context, instance *sandbox.Instance, question question, query rego.Query) ([]byte, error) {
	query.Host = question.session
	return g.policy.Evaluate(ctx, instance, query)
}

// inventory is what the policy reads of the cluster; nil when it reads nothing. Judged
// without what it is to read, a policy could let anything pass.
func inventory(ctx context.Context, question question, form host.Form) ([]byte, error) {
	if !question.session.Grants().ReadsResources() {
		return nil, nil
	}
	document, err := question.session.Inventory(ctx, form)
	switch {
	case err == nil:
		return document, nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("%w: %w", sandbox.ErrDeadline, err)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w: %w", sandbox.ErrCanceled, err)
	default:
		return nil, err
	}
}

// opaGuest is the guest of mode "opa". Its settings are its data, with the objects that it
// reads beside them.
type opaGuest struct{ regoGuest }

var _ guest = opaGuest{}

func (g opaGuest) validate(ctx context.Context, instance *sandbox.Instance, question question) (protocol.ValidationResponse, error) {
	objects, err := inventory(ctx, question, host.FormOPA)
	if err != nil {
		return protocol.ValidationResponse{}, err
	}
	data, err := protocol.OPAData(question.settings, objects)
	if err != nil {
		return protocol.ValidationResponse{}, err
	}
	result, err := g.evaluate(ctx, instance, question, rego.Query{
		Input: protocol.AppendOPAInput(nil, question.request),
		Data:  data,
	})
	return decode(result, err, protocol.DecodeOPAResult)
}

// gatekeeperGuest is the guest of mode "gatekeeper". Its settings are part of its input, and
// its data is nothing but the objects that it reads.
type gatekeeperGuest struct{ regoGuest }

var _ guest = gatekeeperGuest{}

// errRaw has upstream's text.
var errRaw = errors.New("Gatekeeper does not support raw validation requests") //nolint:staticcheck // upstream's text, known to users

func (g gatekeeperGuest) validate(ctx context.Context, instance *sandbox.Instance, question question) (protocol.ValidationResponse, error) {
	if question.raw {
		return protocol.ValidationResponse{}, errRaw
	}
	objects, err := inventory(ctx, question, host.FormGatekeeper)
	if err != nil {
		return protocol.ValidationResponse{}, err
	}
	result, err := g.evaluate(ctx, instance, question, rego.Query{
		Input: protocol.AppendGatekeeperInput(nil, question.request, question.settings),
		Data:  protocol.GatekeeperData(objects),
	})
	return decode(result, err, protocol.DecodeGatekeeperResult)
}
