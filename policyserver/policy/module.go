package policy

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/metadata"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/protocol"
)

// Metadata is what a module says of itself.
type Metadata = metadata.Metadata

// Module is a compiled policy. It holds no settings: policies that differ in nothing else
// share one. It is safe for concurrent use; every call runs in an instance of its own.
type Module struct {
	digest   string
	metadata Metadata
}

// Call says on whose behalf a module is called.
type Call struct {
	// PolicyID names the policy in logs.
	PolicyID string
	// Settings is a JSON object; empty or null means an empty one.
	Settings json.RawMessage
	// Capabilities are what the policy may ask of the host; the zero value is nothing.
	Capabilities host.Grants
}

// Digest identifies the module: "sha256:" and the hex digest of the bytes given to Compile.
func (m *Module) Digest() string { return m.digest }

// Metadata is what the module says of itself.
func (m *Module) Metadata() Metadata { return m.metadata }

// Validate asks the policy about a request, which is one JSON value and is passed on as
// it is. The deadline of ctx is absolute: it covers instantiation, guest code and host
// calls together. Any error is an *Error.
func (m *Module) Validate(ctx context.Context, call Call, request json.RawMessage) (protocol.ValidationResponse, error) {
	_, _, _ = ctx, call, request
	return protocol.ValidationResponse{}, &Error{Kind: KindInternal, Message: "validate request", Err: errors.ErrUnsupported}
}

// ValidateSettings asks the policy whether it can work with the settings. A guest that
// fails over them finds them invalid, with its error as the message; an *Error comes back
// when the guest could not be asked to the end, above all on a timeout.
func (m *Module) ValidateSettings(ctx context.Context, call Call) (protocol.SettingsValidationResponse, error) {
	_, _ = ctx, call
	return protocol.SettingsValidationResponse{}, &Error{Kind: KindInternal, Message: "validate settings", Err: errors.ErrUnsupported}
}

// Close gives back what the compiled module holds, once running calls have ended.
func (m *Module) Close(ctx context.Context) error {
	_ = ctx
	return nil
}
