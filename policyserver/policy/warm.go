package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
)

// warmUps are the numbers of made-up requests that are tried, the least first: what a guest
// does only once is done after the first, what a garbage collector does shows after more.
var warmUps = []int{1, 2, 4, 8}

const (
	// samples is how often a request is timed; the shortest time counts, since the machine's
	// other work only ever adds to it.
	samples = 10
	// tuning is after what time no further number of made-up requests is tried.
	tuning = time.Second
)

// madeUpRequest is what guests are asked to become warm: an AdmissionRequest for a plain
// Pod, as an API server makes it. Policies of raw requests are asked with it as well: any
// JSON value is a raw request.
var madeUpRequest = json.RawMessage(`{"uid":"00000000-0000-0000-0000-000000000000",` +
	`"kind":{"group":"","version":"v1","kind":"Pod"},"resource":{"group":"","version":"v1","resource":"pods"},` +
	`"requestKind":{"group":"","version":"v1","kind":"Pod"},"requestResource":{"group":"","version":"v1","resource":"pods"},` +
	`"name":"warm","namespace":"default","operation":"CREATE",` +
	`"userInfo":{"username":"kubernetes-admin","groups":["system:masters","system:authenticated"]},` +
	`"object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"warm","namespace":"default","labels":{"app":"warm"}},` +
	`"spec":{"containers":[{"name":"main","image":"registry.example/app:1.0.0","ports":[{"containerPort":8080,"protocol":"TCP"}],` +
	`"env":[{"name":"MODE","value":"plain"}],"resources":{"limits":{"cpu":"500m","memory":"128Mi"},"requests":{"cpu":"100m","memory":"64Mi"}},` +
	`"securityContext":{"runAsNonRoot":true,"privileged":false,"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}},` +
	`"imagePullPolicy":"IfNotPresent"}],"restartPolicy":"Always","serviceAccountName":"default","securityContext":{}}},` +
	`"oldObject":null,"dryRun":true,"options":{"apiVersion":"meta.k8s.io/v1","kind":"CreateOptions"}}`)

// NotWarm is why a policy that was to be warm has pristine or fresh instances.
type NotWarm string

// Reasons.
const (
	// NotWarmFresh says that instances of the module are made afresh for each call.
	NotWarmFresh NotWarm = "fresh"
	// NotWarmCommand says that nothing of a request is left for the next one: a command ends
	// with its request.
	NotWarmCommand NotWarm = "command"
	// NotWarmHostCall says that the guest asks the host when it is asked, or is given what it
	// reads of the cluster: that would stay.
	NotWarmHostCall NotWarm = "host-call"
	// NotWarmFailed says that the guest gave no verdict on a made-up request.
	NotWarmFailed NotWarm = "failed"
	// NotWarmNoGain says that requests do not become faster.
	NotWarmNoGain NotWarm = "no-gain"
	// NotWarmNoRoom says that there is no memory for it.
	NotWarmNoRoom NotWarm = "no-room"
)

// reasonsNotWarm are all there are.
var reasonsNotWarm = []NotWarm{
	NotWarmFresh, NotWarmCommand, NotWarmHostCall, NotWarmFailed, NotWarmNoGain, NotWarmNoRoom,
}

// notWarmError is a reason with what it came from.
type notWarmError struct {
	reason NotWarm
	text   string
}

func (e *notWarmError) Error() string { return e.text }

// Isolate is the module for one policy, whose calls get their instances in another way than
// the module's own. It is closed by itself, and need not be closed before m.
//
// IsolationWarm is for policies that rule the cluster: instances have answered made-up
// requests for this policy, with its settings, before they are put back to that. A policy
// that cannot be warm, or gains nothing by it, has the module's own instances; the log says
// so, and Stats counts it. An error is an *Error, on the context's account or the caller's.
func (m *Module) Isolate(ctx context.Context, call Call, isolation Isolation) (*Module, error) {
	if err := m.use(); err != nil {
		return nil, err
	}
	defer m.engine.calls.leave()
	isolated, err := m.isolate(ctx, call, isolation)
	if err != nil {
		m.calls.leave()
		return nil, err
	}
	return isolated, nil
}

func (m *Module) isolate(ctx context.Context, call Call, isolation Isolation) (*Module, error) {
	isolated := &Module{
		engine: m.engine, guest: m.guest, instances: m.instances, settings: m.settings, program: m.program,
		metadata: m.metadata,
	}
	closeOwn := func() {}
	switch {
	case isolation == IsolationFresh:
		isolated.instances = fresh{program: m.program, guest: m.guest, made: &m.engine.counts.fresh}
	case isolation == IsolationWarm && call.Domain == "":
		made, err := m.engine.warm(ctx, m, call)
		if err != nil {
			return nil, err
		}
		if made == nil {
			break
		}
		m.engine.counts.warm.Add(1)
		isolated.instances, isolated.others, isolated.owner, isolated.bytes = made, m.instances, call, made.bytes()
		closeOwn = func() {
			m.engine.counts.warm.Add(-1)
			ctx := context.WithoutCancel(ctx)
			if err := made.close(ctx); err != nil {
				m.engine.logger.LogAttrs(ctx, slog.LevelError, "close warm instances", slog.String("error", err.Error()))
			}
		}
	default:
		return nil, &Error{Kind: KindInternal, Message: fmt.Sprintf(
			"isolation %q in domain %q is not possible, want %q, or %q in domain \"\"", isolation, call.Domain, IsolationFresh, IsolationWarm)}
	}
	isolated.calls = newUsers(func() {
		m.engine.datasets.forget(isolated)
		closeOwn()
		m.calls.leave()
	})
	return isolated, nil
}

// instancesOf are those for a call. What is left of made-up requests with a policy's settings
// is for nobody else.
func (m *Module) instancesOf(call Call) instances {
	if m.others == nil ||
		call.PolicyID == m.owner.PolicyID && call.Domain == m.owner.Domain && bytes.Equal(call.Settings, m.owner.Settings) {
		return m.instances
	}
	return m.others
}

// warm makes the warm instances of a policy; nil says that it has none, which is logged and
// counted. The error is that of the context.
func (e *Engine) warm(ctx context.Context, of *Module, call Call) (*pool, error) {
	limited, cancel := context.WithTimeout(ctx, e.patience)
	defer cancel()
	tuned := tuner{engine: e, program: of.program, guest: of.guest, settings: call.Settings}
	best, why := candidate{}, of.neverWarm(call)
	if why == nil {
		best, why = tuned.tune(limited)
	}
	id := slog.String("policy", call.PolicyID)
	if why == nil {
		e.logger.LogAttrs(ctx, slog.LevelInfo, "policy has warm instances", id, slog.Int("requests", best.requests),
			slog.Duration("took", best.cost), slog.Duration("pristine", tuned.pristine))
		made := newPool(e, best.template, fresh{program: of.program, guest: of.guest, made: &e.counts.fresh})
		made.isolation = IsolationWarm
		return made, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, &Error{Kind: KindUnavailable, Message: "warm instances of policy", Err: err}
	}
	reason := reasonNotWarm(why)
	e.counts.notWarm[reason].Add(1)
	e.logger.LogAttrs(ctx, slog.LevelInfo, "policy has no warm instances", id,
		slog.String("reason", string(reason)), slog.String("error", why.Error()))
	return nil, nil
}

// neverWarm says what keeps a policy from being warm before it is asked anything.
func (m *Module) neverWarm(call Call) error {
	_, restored := m.instances.(*pool)
	_, command := m.guest.(wasiGuest)
	_, asks := m.guest.(wapcGuest)
	switch {
	case !restored:
		return &notWarmError{NotWarmFresh, "instances of the module are made afresh for each call"}
	case command:
		return &notWarmError{NotWarmCommand, "a command ends with its request, and leaves nothing for the next one"}
	case !asks && call.Capabilities.ReadsResources():
		return &notWarmError{NotWarmHostCall, "policy is given objects of the cluster"}
	default:
		return nil
	}
}

func reasonNotWarm(why error) NotWarm {
	if known, is := errors.AsType[*notWarmError](why); is {
		return known.reason
	}
	if _, is := errors.AsType[*memory.OverError](why); is {
		return NotWarmNoRoom
	}
	return NotWarmFailed
}

// tuner looks for the number of made-up requests after which a policy answers fastest.
type tuner struct {
	engine   *Engine
	program  *sandbox.Program
	guest    guest
	settings json.RawMessage
	pristine time.Duration // what a request costs without
}

// candidate is a template after a number of made-up requests, and what a request costs then.
type candidate struct {
	template *sandbox.Template
	requests int
	cost     time.Duration
}

// tune gives the best candidate, or says why there is none.
func (t *tuner) tune(ctx context.Context) (candidate, error) {
	if t.engine.warmUp > 0 {
		return t.try(ctx, t.engine.warmUp)
	}
	began := t.engine.now()
	plain, err := t.try(ctx, 0)
	if err != nil {
		return candidate{}, err
	}
	best := plain
	for _, requests := range warmUps {
		if t.engine.now().Sub(began) > tuning {
			break
		}
		next, err := t.try(ctx, requests)
		if err != nil {
			return candidate{}, errors.Join(err, t.drop(ctx, plain, best))
		}
		worse := next
		if cheaper(next.cost, best.cost) {
			best, worse = next, best
		}
		if worse.requests > 0 {
			if err := t.drop(ctx, worse); err != nil {
				return candidate{}, errors.Join(err, t.drop(ctx, plain, best))
			}
		}
	}
	// Once more: the machine may have been busy the first time.
	again, err := t.measure(ctx, plain.template)
	t.pristine = min(plain.cost, again)
	if err == nil && !cheaper(best.cost, t.pristine) {
		err = &notWarmError{NotWarmNoGain, fmt.Sprintf("requests take %v, and no less after others", t.pristine)}
	}
	if err != nil {
		return candidate{}, errors.Join(err, t.drop(ctx, plain, best))
	}
	return best, t.drop(ctx, plain)
}

// drop closes what was tried; nothing is closed twice by that.
func (*tuner) drop(ctx context.Context, tried ...candidate) error {
	var err error
	for _, one := range tried {
		err = errors.Join(err, one.template.Close(ctx))
	}
	return err
}

// leastGain is below which a gain is not worth the memory of a template.
const leastGain = 20 * time.Microsecond

// cheaper says whether a cost is less by a tenth and by leastGain.
func cheaper(cost, than time.Duration) bool { return cost*10 <= than*9 && than-cost >= leastGain }

// try makes a candidate.
func (t *tuner) try(ctx context.Context, requests int) (candidate, error) {
	ctx, call := t.engine.runtime.Begin(ctx)
	session := t.engine.nobody.Session(host.Policy{})
	template, err := t.program.NewTemplate(ctx, memory.Modules, func(instance *sandbox.Instance) error {
		if err := t.guest.init(ctx, instance, session); err != nil {
			return err
		}
		for range requests {
			if err := t.ask(ctx, instance, session); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return candidate{}, errors.Join(call.Refused(), err)
	}
	if refused := call.Refused(); refused != nil {
		return candidate{}, errors.Join(refused, template.Close(ctx))
	}
	cost, err := t.measure(ctx, template)
	if err != nil {
		return candidate{}, errors.Join(err, template.Close(ctx))
	}
	return candidate{template, requests, cost}, nil
}

// ask makes a made-up request, which the guest has to give a verdict on by itself.
func (t *tuner) ask(ctx context.Context, instance *sandbox.Instance, session *host.Session) error {
	asked, err := question{session: session, request: madeUpRequest, settings: t.settings}, error(nil)
	if reader, reads := t.guest.(reader); reads {
		asked.data, err = reader.data(ctx, asked)
	}
	if err == nil {
		_, err = t.guest.validate(ctx, instance, asked)
	}
	if session.Consulted() {
		return &notWarmError{NotWarmHostCall, "policy asks the host when it is asked"}
	}
	return err
}

// measure is the shortest time that a request takes, with the restoring of the instance.
func (t *tuner) measure(ctx context.Context, template *sandbox.Template) (shortest time.Duration, err error) {
	ctx, call := t.engine.runtime.Begin(ctx)
	call.Settle() // as the calls will be
	defer call.Leave()
	session := t.engine.nobody.Session(host.Policy{})
	instance, err := template.Instantiate(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(call.Refused(), err, instance.Close(ctx)) }()
	for n := range samples {
		if err := instance.Wake(ctx); err != nil {
			return 0, err
		}
		began := t.engine.now()
		if err := t.ask(ctx, instance, session); err != nil {
			return 0, err
		}
		if _, err := instance.Restore(ctx); err != nil {
			return 0, err
		}
		if took := t.engine.now().Sub(began); n == 0 || took < shortest {
			shortest = took
		}
	}
	return shortest, nil
}
