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
	// Domain is the policy's trust domain: a namespace, outside which it is to see nothing, or
	// "" for those who rule the cluster.
	Domain string
	// Operation is what is asked of the capability's namespace: "v1/verify" in "oci".
	Operation string
	// Payload is the guest's input. It is valid until Call returns.
	Payload []byte
	// Grants are the policy's, for gates that need the payload.
	Grants Grants
}

// Capability serves the host calls of one namespace. Call answers with bytes for the
// guest, or with an error: a RefusalError is told to the guest as it is, any other error as a
// failure of the host. It must return when ctx is done, which is at the deadline of the
// evaluation at the latest, and it is called concurrently.
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
	// ResultDenied says that the policy was not granted the capability, or what it asked of it.
	ResultDenied Result = "denied"
	ResultFailed Result = "failed"
)

// Observer is told of host calls; it must be fast and safe for concurrent use. The
// capability is one that there is, or "unknown".
type Observer interface {
	HostCalled(capability string, result Result, took time.Duration)
}

// Trace follows a host call that is served for a policy: the capability is as for an Observer.
// The call runs within the context that it gives; the function is called when it has ended, with
// the error that the guest sees.
type Trace func(ctx context.Context, policyID, capability string) (context.Context, func(Result, error))

// Dispatcher brings host calls to capabilities. It is safe for concurrent use.
type Dispatcher struct {
	capabilities map[string]Capability
	limits       Limits
	logger       *slog.Logger
	observer     Observer // nil for none
	trace        Trace    // nil for none
	now          func() time.Time
}

// NewDispatcher serves the capabilities, by namespace, within the usual limits. Guests' logs
// go to the logger.
func NewDispatcher(capabilities map[string]Capability, logger *slog.Logger) *Dispatcher {
	return &Dispatcher{capabilities: capabilities, limits: Limits{}.orUsual(), logger: logger}
}

// Limit has other limits than the usual ones hold. It is called before the first call.
func (d *Dispatcher) Limit(limits Limits) { d.limits = limits.orUsual() }

// Observe has an observer told of every call from now on, measured by a clock. It is called
// before the first call.
func (d *Dispatcher) Observe(observer Observer, now func() time.Time) {
	d.observer, d.now = observer, now
}

// Trace has calls followed from now on, but lines of the log. It is called before the first call.
func (d *Dispatcher) Trace(trace Trace) { d.trace = trace }

// Policy is on whose behalf a guest calls. The zero value may ask for nothing.
type Policy struct {
	// ID names the policy in logs.
	ID string
	// Domain is as in Request.
	Domain string
	Grants Grants
}

// Waiter is told when a guest waits for a capability, and when it is to go on; the context is
// that of the guest's call.
type Waiter interface {
	Waits()
	GoesOn(ctx context.Context)
}

// Session is what the host is to one call of a guest. It serves one goroutine.
type Session struct {
	dispatcher *Dispatcher
	policy     Policy
	logged     budget
	called     bool
	consulted  bool
	waiter     Waiter // nil for none
}

// Session begins a session of a policy.
func (d *Dispatcher) Session(policy Policy) *Session {
	return &Session{dispatcher: d, policy: policy}
}

// Grants are those of the session's policy.
func (s *Session) Grants() Grants { return s.policy.Grants }

// Domain is the trust domain of the session's policy.
func (s *Session) Domain() string { return s.policy.Domain }

// WaitBy has a waiter told from now on.
func (s *Session) WaitBy(waiter Waiter) { s.waiter = waiter }

// Called says whether the guest has called the host.
func (s *Session) Called() bool { return s.called }

// Consulted says whether the guest has asked the host for anything but a line in the log:
// what it answers may then depend on more than what it was given.
func (s *Session) Consulted() bool { return s.consulted }

// Call answers a host call. The text of an error is for the guest.
func (s *Session) Call(ctx context.Context, call Call) ([]byte, error) {
	s.called = true
	return s.observed(capabilityOf(call), func() ([]byte, error) {
		if call.Namespace == namespaceTracing {
			return s.answer(ctx, call)
		}
		return s.traced(ctx, capabilityOf(call), func(ctx context.Context) ([]byte, error) { return s.answer(ctx, call) })
	})
}

// observed serves a call and tells the observer of it.
func (s *Session) observed(capability string, serve func() ([]byte, error)) ([]byte, error) {
	if s.dispatcher.observer == nil {
		return serve()
	}
	began := s.dispatcher.now()
	answer, err := serve()
	s.dispatcher.observer.HostCalled(capability, resultOf(err), s.dispatcher.now().Sub(began))
	return answer, err
}

// traced serves a call within its span.
func (s *Session) traced(ctx context.Context, capability string, serve func(context.Context) ([]byte, error)) ([]byte, error) {
	if s.dispatcher.trace == nil {
		return serve(ctx)
	}
	ctx, end := s.dispatcher.trace(ctx, s.policy.ID, capability)
	answer, err := serve(ctx)
	end(resultOf(err), err)
	return answer, err
}

// capabilityOf names what is called, if there is such a thing: a guest can ask for anything.
func capabilityOf(call Call) string {
	if exists(call.Namespace, call.Operation) || call.Namespace == namespaceTracing && call.Operation == operationLog {
		return call.Namespace + "/" + call.Operation
	}
	return "unknown"
}

// exists says whether there is such a capability.
func exists(namespace, operation string) bool {
	_, known := lookup(namespace, operation)
	return known
}

func resultOf(err error) Result {
	var denied *deniedError
	switch {
	case err == nil:
		return ResultAnswered
	case errors.As(err, &denied):
		return ResultDenied
	default:
		return ResultFailed
	}
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
	if err := s.admit(ctx, path); err != nil {
		return nil, err
	}
	knownNamespace, knownOperation := lookup(call.Namespace, call.Operation)
	if !knownNamespace {
		return nil, fmt.Errorf("unknown namespace: %s", call.Namespace)
	}
	if !knownOperation {
		return nil, fmt.Errorf("unknown operation: %s", call.Operation)
	}
	if err := s.dispatcher.limits.checkPayload(path, call.Payload); err != nil {
		return nil, err
	}
	capability, provided := s.dispatcher.capabilities[call.Namespace]
	if !provided {
		return nil, failure(notProvided(path))
	}
	if s.waiter != nil {
		s.waiter.Waits()
		defer s.waiter.GoesOn(ctx)
	}
	answer, err := capability.Call(ctx, s.request(call.Operation, call.Payload))
	return s.hand(ctx, path, answer, err)
}

// admit is the gate: nothing passes that was not granted, and nothing after the deadline.
func (s *Session) admit(ctx context.Context, path string) error {
	if !s.policy.Grants.Allows(path) {
		return s.deny(ctx, deniedCapability(path, s.policy.Domain))
	}
	return checkTime(ctx, path)
}

func (s *Session) request(operation string, payload []byte) Request {
	return Request{PolicyID: s.policy.ID, Domain: s.policy.Domain, Operation: operation, Payload: payload, Grants: s.policy.Grants}
}

// hand gives the guest what a capability answered.
func (s *Session) hand(ctx context.Context, path string, answer []byte, err error) ([]byte, error) {
	if denied, is := errors.AsType[*deniedError](err); is {
		return nil, s.deny(ctx, denied)
	}
	if late := checkTime(ctx, path); late != nil {
		return nil, late
	}
	if err != nil {
		return nil, failure(err)
	}
	if err := s.dispatcher.limits.checkReply(path, answer); err != nil {
		return nil, err
	}
	return answer, nil
}

func notProvided(path string) error {
	return fmt.Errorf("host capability '%s' is not provided here", path)
}

// failure is what a guest is told of an error inside the host.
func failure(err error) error {
	if refusal := RefusalError(""); errors.As(err, &refusal) {
		return refusal
	}
	return fmt.Errorf("Callback evaluation failure: %w", err) //nolint:staticcheck // upstream's text, known to users
}
