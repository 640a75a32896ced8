package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
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

// Result is how a host call ended, in one of a few words.
type Result string

// Results of host calls.
const (
	ResultAnswered Result = "answered"
	// ResultDenied says that the policy was not granted the capability.
	ResultDenied Result = "denied"
	ResultFailed Result = "failed"
)

// Observer is told of host calls; it must be fast and safe for concurrent use. The
// capability is one that there is, or "unknown".
type Observer interface {
	HostCalled(capability string, result Result, took time.Duration)
}

// Dispatcher brings host calls to capabilities. It is safe for concurrent use.
type Dispatcher struct {
	capabilities map[string]Capability
	logger       *slog.Logger
	observer     Observer // nil for none
	now          func() time.Time
}

// NewDispatcher serves the capabilities, by namespace. Guests' logs go to the logger.
func NewDispatcher(capabilities map[string]Capability, logger *slog.Logger) *Dispatcher {
	return &Dispatcher{capabilities: capabilities, logger: logger}
}

// Observe has an observer told of every call from now on, measured by a clock. It is called
// before the first call.
func (d *Dispatcher) Observe(observer Observer, now func() time.Time) {
	d.observer, d.now = observer, now
}

// Session is what the host is to one call of a guest. It serves one goroutine.
type Session struct {
	dispatcher *Dispatcher
	policyID   string
	grants     Grants
	logged     budget
	called     bool
	consulted  bool
}

// Session begins a session of a policy with these grants.
func (d *Dispatcher) Session(policyID string, grants Grants) *Session {
	return &Session{dispatcher: d, policyID: policyID, grants: grants}
}

// Grants are those of the session's policy.
func (s *Session) Grants() Grants { return s.grants }

// Called says whether the guest has called the host.
func (s *Session) Called() bool { return s.called }

// Consulted says whether the guest has asked the host for anything but a line in the log:
// what it answers may then depend on more than what it was given.
func (s *Session) Consulted() bool { return s.consulted }

// Call answers a host call. The text of an error is for the guest.
func (s *Session) Call(ctx context.Context, call Call) ([]byte, error) {
	s.called = true
	if s.dispatcher.observer == nil {
		return s.answer(ctx, call)
	}
	began := s.dispatcher.now()
	answer, err := s.answer(ctx, call)
	s.dispatcher.observer.HostCalled(capabilityOf(call), resultOf(err), s.dispatcher.now().Sub(began))
	return answer, err
}

// capabilityOf names what is called, if there is such a thing: a guest can ask for anything.
func capabilityOf(call Call) string {
	_, known := lookup(call.Namespace, call.Operation)
	if known || call.Namespace == namespaceTracing && call.Operation == operationLog {
		return call.Namespace + "/" + call.Operation
	}
	return "unknown"
}

func resultOf(err error) Result {
	var denied deniedError
	switch {
	case err == nil:
		return ResultAnswered
	case errors.As(err, &denied):
		return ResultDenied
	default:
		return ResultFailed
	}
}

// deniedError is the error of a call that the policy was not granted, by its path.
type deniedError string

// Error is upstream's text, known to users.
func (d deniedError) Error() string {
	return fmt.Sprintf("Policy has not been granted access to the '%s' host capability. The violation has been reported.", string(d))
}

// answer checks a call in upstream's order, and serves it.
func (s *Session) answer(ctx context.Context, call Call) ([]byte, error) {
	if call.Binding != binding {
		return nil, fmt.Errorf("unknown binding: %s", call.Binding)
	}
	if call.Namespace == namespaceTracing {
		return s.trace(ctx, call)
	}
	s.consulted = true
	path := call.Namespace + "/" + call.Operation
	if !s.grants.Allows(path) {
		s.reportDenied(ctx, path)
		return nil, deniedError(path)
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
