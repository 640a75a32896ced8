package policy

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/metadata"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/protocol"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
)

// Metadata is what a module says of itself.
type Metadata = metadata.Metadata

// Module is a compiled policy. It holds no settings: policies that differ in nothing else
// share one. It is safe for concurrent use; every call runs in an instance of its own.
type Module struct {
	engine    *Engine
	guest     guest
	program   *sandbox.Program
	instances instances
	settings  instances // for questions about settings
	metadata  Metadata
	bytes     int64
	calls     *users

	// Of modules that are isolated with instances of a policy's own: whose they are, and
	// those for everybody else; nil when there is nobody else.
	owner  Call
	others instances
}

// Call says on whose behalf a module is called.
type Call struct {
	// PolicyID names the policy in logs.
	PolicyID string
	// Domain names the trust domain of the policy: a namespace, or "" for those who rule
	// the cluster. Calls of different domains never use the same instance.
	Domain string
	// Settings is a JSON object; empty or null means an empty one.
	Settings json.RawMessage
	// Raw says that the request is any JSON value and no AdmissionRequest.
	Raw bool
	// Capabilities are what the policy may ask of the host; the zero value is nothing.
	Capabilities host.Grants
	// Varies, when not nil, becomes true when the answer may be another one the next time:
	// the policy asked the host for something or what time it is, or was refused memory.
	Varies *bool
}

// Metadata is what the module says of itself.
func (m *Module) Metadata() Metadata { return m.metadata }

// Validate asks the policy about a request, which is one JSON value and is passed on as
// it is. The deadline of ctx is absolute: it covers instantiation, guest code and host
// calls together, and without one a guest may run for ever. Any error is an *Error.
func (m *Module) Validate(ctx context.Context, call Call, request json.RawMessage) (protocol.ValidationResponse, error) {
	var response protocol.ValidationResponse
	err := m.run(ctx, call, func(ctx context.Context, session *host.Session) error {
		asked := question{session: session, from: m.instancesOf(call), request: request, settings: call.Settings, raw: call.Raw}
		changing := false
		err := m.put(ctx, asked, func(instance *sandbox.Instance, asked question) error {
			var err error
			response, err = m.guest.validate(ctx, instance, asked)
			changing = instance.ToldTime()
			return err
		})
		if call.Varies != nil && (changing || varies(sandbox.CallFrom(ctx), session)) {
			*call.Varies = true
		}
		return err
	})
	if err != nil {
		return protocol.ValidationResponse{}, validateError(m.guest, err)
	}
	return response, nil
}

// varies says whether the answer to a call may be another one the next time, apart from what
// its instance was told before. What a guest draws at random does not count: runtimes seed their hashes with it.
func varies(call *sandbox.Call, session *host.Session) bool {
	return session.Consulted() || call.ToldTime() || call.Refused() != nil
}

// ValidateSettings asks the policy whether it can work with the settings. A guest that
// fails over them finds them invalid, with its error as the message; an *Error comes back
// when the guest could not be asked to the end, above all on a timeout.
func (m *Module) ValidateSettings(ctx context.Context, call Call) (protocol.SettingsValidationResponse, error) {
	var response protocol.SettingsValidationResponse
	err := m.run(ctx, call, func(ctx context.Context, session *host.Session) error {
		return m.lend(ctx, m.settings, session, func(instance *sandbox.Instance) error {
			var err error
			response, err = m.guest.validateSettings(ctx, instance, question{session: session, settings: call.Settings})
			return err
		})
	})
	if err != nil {
		return settingsError(m.guest, err)
	}
	return response, nil
}

// put puts a question to one of its instances.
func (m *Module) put(ctx context.Context, asked question, ask func(*sandbox.Instance, question) error) error {
	if reader, reads := m.guest.(reader); reads {
		return m.putToReader(ctx, reader, asked, ask)
	}
	return m.lend(ctx, asked.from, asked.session, func(instance *sandbox.Instance) error { return ask(instance, asked) })
}

// lend has an instance asked that is taken from some.
func (m *Module) lend(ctx context.Context, from instances, session *host.Session, ask func(*sandbox.Instance) error) error {
	return m.onProcessor(ctx, session, func() error {
		domain := session.Domain()
		instance, err := from.take(ctx, domain, session)
		if err != nil {
			return err
		}
		err = ask(instance)
		return outcome(err, from.give(ctx, domain, instance, err))
	})
}

// outcome is that of a call: how it was answered, and how its instance was given back.
func outcome(answered, given error) error {
	if answered == nil && given != nil {
		return &sandbox.HostError{Err: given}
	}
	return answered
}

// run begins a call and ends it. The error is one of the sandbox, of the guest's protocol, or
// an *Error.
func (m *Module) run(ctx context.Context, call Call, do func(context.Context, *host.Session) error) (err error) {
	if err := m.use(); err != nil {
		return err
	}
	defer m.leave()

	session := m.engine.dispatcher.Session(host.Policy{ID: call.PolicyID, Domain: call.Domain, Grants: call.Capabilities})
	ctx, state := m.engine.runtime.Begin(ctx)
	defer func() {
		session.Output(ctx, "stdout", state.Stdout.String())
		session.Output(ctx, "stderr", state.Stderr.String())
	}()
	defer func() {
		if refused := state.Refused(); err != nil && refused != nil {
			err = fmt.Errorf("%w: %w", refused, err)
		}
	}()
	if err := state.Check(); err != nil {
		return err
	}
	return do(ctx, session)
}

// use begins a use of the module and its engine.
func (m *Module) use() error {
	if !m.engine.calls.enter() {
		return closed("engine")
	}
	if !m.calls.enter() {
		m.engine.calls.leave()
		return closed("module")
	}
	return nil
}

func (m *Module) leave() {
	m.calls.leave()
	m.engine.calls.leave()
}

// Bytes is what the module takes of the memory for modules.
func (m *Module) Bytes() int64 { return m.bytes }

// Close says that the module will not be called again. What it holds is given back when
// the last running call has ended; Close does not wait for that.
func (m *Module) Close(context.Context) error {
	m.calls.close()
	return nil
}
