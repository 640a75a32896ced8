package policy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/protocol"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/rego"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
)

// reader is a guest that reads a data document before it reads a request.
type reader interface {
	guest
	// data is what the guest is to read for a question.
	data(ctx context.Context, question question) (data, error)
	// text is the document, which is JSON.
	text(of data) ([]byte, error)
	// read has a new instance read a document.
	read(ctx context.Context, instance *sandbox.Instance, session *host.Session, text []byte) (rego.Data, error)
}

// data is what a document is made of. Nothing of it changes.
type data struct {
	// kinds are those of the objects.
	kinds []host.Resource
	// objects are the JSON of all objects of the kinds; nil when there are no kinds.
	objects []byte
	// settings are those of the policy where they are part of its data.
	settings []byte
}

// size is about that of the document.
func (d data) size() int { return len(d.objects) + len(d.settings) }

// equal says whether the documents are the same. It takes no time for the very same objects.
func (d data) equal(other data) bool {
	return bytes.Equal(d.settings, other.settings) && bytes.Equal(d.objects, other.objects) && (d.objects == nil) == (other.objects == nil)
}

// origin tells documents apart that are not versions of the same.
func (d data) origin() string {
	var origin strings.Builder
	for _, kind := range d.kinds {
		fmt.Fprintf(&origin, "%q %q ", kind.APIVersion, kind.Kind)
	}
	origin.Write(d.settings)
	return origin.String()
}

// regoGuest is what guests of modes "opa" and "gatekeeper" have in common.
type regoGuest struct{ policy *rego.Policy }

func (regoGuest) init(context.Context, *sandbox.Instance, *host.Session) error { return nil }

// validateSettings finds all settings valid: Rego guests have no way to say otherwise.
func (regoGuest) validateSettings(context.Context, *sandbox.Instance, question) (protocol.SettingsValidationResponse, error) { //nolint:unparam // a method of guest
	return protocol.SettingsValidationResponse{Valid: true}, nil
}

func (regoGuest) failure(err error) string { return "internal server error: " + err.Error() }

func (regoGuest) settingsFailure(err error) string { return err.Error() }

func (g regoGuest) read(ctx context.Context, instance *sandbox.Instance, session *host.Session, text []byte) (rego.Data, error) {
	return g.policy.Read(ctx, instance, session, text)
}

// known is where the data of a question lies in an instance, which reads it now unless it has
// done so.
func (g regoGuest) known(ctx context.Context, instance *sandbox.Instance, question question, text func(data) ([]byte, error)) (rego.Data, error) {
	if question.known != nil {
		return *question.known, nil
	}
	document, err := text(question.data)
	if err != nil {
		return 0, err
	}
	return g.read(ctx, instance, question.session, document)
}

// objects are what the policy reads of the cluster, if it reads anything. Judged without what
// it is to read, a policy could let anything pass.
func objects(ctx context.Context, question question, form host.Form) (data, error) {
	grants := question.session.Grants()
	if !grants.ReadsResources() {
		return data{}, nil
	}
	document, err := question.session.Inventory(ctx, form)
	switch {
	case err == nil:
		return data{kinds: grants.Resources(), objects: document}, nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return data{}, fmt.Errorf("%w: %w", sandbox.ErrDeadline, err)
	case ctx.Err() != nil:
		return data{}, fmt.Errorf("%w: %w", sandbox.ErrCanceled, err)
	default:
		return data{}, err
	}
}

// opaGuest is the guest of mode "opa". Its settings are its data, with the objects that it
// reads beside them.
type opaGuest struct{ regoGuest }

var _ reader = opaGuest{}

func (opaGuest) data(ctx context.Context, question question) (data, error) {
	read, err := objects(ctx, question, host.FormOPA)
	read.settings = question.settings
	return read, err
}

func (opaGuest) text(of data) ([]byte, error) { return protocol.OPAData(of.settings, of.objects) }

func (g opaGuest) validate(ctx context.Context, instance *sandbox.Instance, question question) (protocol.ValidationResponse, error) {
	known, err := g.known(ctx, instance, question, g.text)
	if err != nil {
		return protocol.ValidationResponse{}, err
	}
	result, err := g.policy.Evaluate(ctx, instance, rego.Query{
		Input: protocol.AppendOPAInput(nil, question.request),
		Data:  known, Host: question.session,
	})
	return decode(result, err, protocol.DecodeOPAResult)
}

// gatekeeperGuest is the guest of mode "gatekeeper". Its settings are part of its input, and
// its data is nothing but the objects that it reads.
type gatekeeperGuest struct{ regoGuest }

var _ reader = gatekeeperGuest{}

// errRaw has upstream's text.
var errRaw = errors.New("Gatekeeper does not support raw validation requests") //nolint:staticcheck // upstream's text, known to users

func (gatekeeperGuest) data(ctx context.Context, question question) (data, error) {
	if question.raw {
		return data{}, errRaw
	}
	return objects(ctx, question, host.FormGatekeeper)
}

func (gatekeeperGuest) text(of data) ([]byte, error) { return protocol.GatekeeperData(of.objects), nil }

func (g gatekeeperGuest) validate(ctx context.Context, instance *sandbox.Instance, question question) (protocol.ValidationResponse, error) {
	known, err := g.known(ctx, instance, question, g.text)
	if err != nil {
		return protocol.ValidationResponse{}, err
	}
	result, err := g.policy.Evaluate(ctx, instance, rego.Query{
		Input: protocol.AppendGatekeeperInput(nil, question.request, question.settings),
		Data:  known, Host: question.session,
	})
	return decode(result, err, protocol.DecodeGatekeeperResult)
}
