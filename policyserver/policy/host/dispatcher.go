package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// binding is the one binding that guests know the host by.
const binding = "kubewarden"

// Request is one host call that passed the gate.
type Request struct {
	// PolicyID names the policy in logs.
	PolicyID string
	// Operation is what is asked of the capability's namespace: "v1/verify" in "oci".
	Operation string
	// Payload is the guest's input. It is valid until Call returns.
	Payload []byte
	// Grants are the policy's, for gates that need the payload.
	Grants Grants
}

// Capability serves the host calls of one namespace. Call answers with bytes for the
// guest, or with an error: a RefusalError is told to the guest as it is, any other error as a
// failure of the host. It must return when ctx is done, and it is called concurrently.
type Capability interface {
	Call(ctx context.Context, request Request) ([]byte, error)
}

// RefusalError is an error of a capability that is the guest's own doing, such as a malformed
// payload or a resource that it was not granted.
type RefusalError string

// Error is the text that the guest sees.
func (r RefusalError) Error() string { return string(r) }

// Call is a host call as a guest makes it.
type Call struct {
	Binding   string
	Namespace string
	Operation string
	// Payload is valid until the call returns.
	Payload []byte
}

// Dispatcher brings host calls to capabilities. It is safe for concurrent use.
type Dispatcher struct {
	capabilities map[string]Capability
	logger       *slog.Logger
}

// NewDispatcher serves the capabilities, by namespace. Guests' logs go to the logger.
func NewDispatcher(capabilities map[string]Capability, logger *slog.Logger) *Dispatcher {
	return &Dispatcher{capabilities: capabilities, logger: logger}
}

// Session is what the host is to one call of a guest. It serves one goroutine.
type Session struct {
	dispatcher *Dispatcher
	policyID   string
	grants     Grants
	logged     budget
}

// Session begins a session of a policy with these grants.
func (d *Dispatcher) Session(policyID string, grants Grants) *Session {
	return &Session{dispatcher: d, policyID: policyID, grants: grants}
}

// Grants are those of the session's policy.
func (s *Session) Grants() Grants { return s.grants }

// Call answers a host call. The text of an error is for the guest; the order of the
// checks is upstream's.
func (s *Session) Call(ctx context.Context, call Call) ([]byte, error) {
	if call.Binding != binding {
		return nil, fmt.Errorf("unknown binding: %s", call.Binding)
	}
	if call.Namespace == namespaceTracing {
		return s.trace(ctx, call)
	}
	path := call.Namespace + "/" + call.Operation
	if !s.grants.Allows(path) {
		s.reportDenied(ctx, path)
		return nil, fmt.Errorf("Policy has not been granted access to the '%s' host capability. The violation has been reported.", path) //nolint:revive,staticcheck // upstream's text, known to users
	}
	knownNamespace, knownOperation := lookup(call.Namespace, call.Operation)
	if !knownNamespace {
		return nil, fmt.Errorf("unknown namespace: %s", call.Namespace)
	}
	if !knownOperation {
		return nil, fmt.Errorf("unknown operation: %s", call.Operation)
	}
	capability, provided := s.dispatcher.capabilities[call.Namespace]
	if !provided {
		return nil, failure(fmt.Errorf("host capability '%s' is not provided here", path))
	}
	answer, err := capability.Call(ctx, Request{
		PolicyID:  s.policyID,
		Operation: call.Operation,
		Payload:   call.Payload,
		Grants:    s.grants,
	})
	if err != nil {
		return nil, failure(err)
	}
	return answer, nil
}

// failure is what a guest is told of an error inside the host.
func failure(err error) error {
	if refusal := RefusalError(""); errors.As(err, &refusal) {
		return refusal
	}
	return fmt.Errorf("Callback evaluation failure: %w", err) //nolint:staticcheck // upstream's text, known to users
}

func (s *Session) reportDenied(ctx context.Context, path string) {
	s.log(ctx, record{
		level:   slog.LevelError,
		message: "policy called a host capability that it was not granted",
		attributes: []slog.Attr{
			slog.String(KeyPolicy, s.policyID),
			slog.String("capability", path),
			slog.String("allowed_capabilities", s.grants.String()),
		},
	})
}
