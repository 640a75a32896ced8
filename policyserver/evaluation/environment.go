package evaluation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

// EnvironmentConfig is what an Environment is made from. Every field is needed but
// AcceptNamespace.
type EnvironmentConfig struct {
	Observer Observer
	Logger   *slog.Logger
	Now      func() time.Time
	// AcceptNamespace is a namespace whose admission requests are all accepted; "" is none.
	AcceptNamespace string
}

// Environment answers requests out of the current policy set. The set never changes: a
// Loader puts another one in its place, and a request that began with the old one ends
// with it.
type Environment struct {
	config EnvironmentConfig
	set    atomic.Pointer[policySet]
}

// policySet is everything that is served at one moment.
type policySet struct {
	// served is nil before the first configuration was read, and only then.
	served map[string]*servedPolicy
	// members are those of the groups that are served, by <group>/<member>: each can be
	// asked by itself, as if it were a policy that protects and must not mutate.
	members map[string]*servedPolicy
	// failures are by ID; a policy can be in both maps: then an earlier revision serves.
	failures map[string]*Failure
	// pending are policies that are being prepared and of which nothing serves yet.
	pending map[string]bool
	// digests are those of a Snapshot.
	digests map[string]string
	// owners are the UIDs of the custom resources that policies are served for.
	owners map[string]string
	// revisions are those of a Snapshot.
	setRevision, configRevision string
	ready                       bool
}

// NewEnvironment makes an environment that does not know yet which policies there are.
func NewEnvironment(config EnvironmentConfig) *Environment {
	environment := &Environment{config: config}
	environment.set.Store(&policySet{})
	return environment
}

// ErrorKind says what kept a request from being judged at all.
type ErrorKind int

const (
	// KindInternal is a failure of the server.
	KindInternal ErrorKind = iota
	// KindUnknownPolicy says that there is no policy of that ID.
	KindUnknownPolicy
	// KindUnavailable says that asking again in a moment can help.
	KindUnavailable
	// KindUnknownModule says that no module of that digest is loaded.
	KindUnknownModule
)

// Error is what Evaluate returns when it has no answer.
type Error struct {
	Kind ErrorKind
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Evaluate asks a policy, or a member of a group by <group>/<member>, about a request and
// makes the answer. The time a policy takes is bounded by its timeout. A policy that failed,
// timed out or could not be loaded answers with a denial; any error is an *Error.
func (e *Environment) Evaluate(ctx context.Context, policyID string, request Request) (Response, error) {
	asked, err := e.find(policyID)
	if err != nil {
		return Response{}, err
	}
	served := asked.served
	if served != nil {
		defer served.release()
	}
	if e.acceptsAll(request) {
		return e.accept(asked, request), nil
	}
	if served == nil {
		return e.answerNotLoaded(asked, request), nil
	}
	started := e.config.Now()
	varies := false
	verdict, err := served.judge(ctx, request, &varies)
	if err != nil {
		return Response{}, err
	}
	evaluation := describe(served.rules, request, verdict)
	evaluation.Latency = e.config.Now().Sub(started)
	e.config.Observer.Evaluated(evaluation)
	response := respond(served.rules, request.Origin, verdict)
	if request.Origin == OriginAudit && !varies {
		response.Revision = served.revision
	}
	e.log(ctx, decision{served.rules, request, verdict, response})
	return response, nil
}

// found is what there is under an ID: a policy with users of its modules counted, or why it
// is not loaded. The ID is one of the configuration, never one that a request made up.
type found struct {
	id      string
	served  *servedPolicy
	failure *Failure
}

func (e *Environment) find(policyID string) (found, error) {
	owner, _, isMember := strings.Cut(policyID, "/")
	for {
		set := e.set.Load()
		served := set.served[policyID]
		if isMember {
			served = set.members[policyID]
		}
		if served != nil {
			if served.acquire() {
				return found{id: policyID, served: served}, nil
			}
			continue // the set was replaced, and the last request to the old one has ended
		}
		if failure := set.failures[owner]; failure != nil {
			return found{id: owner, failure: failure}, nil
		}
		if set.pending[owner] {
			return found{}, &Error{KindUnavailable, fmt.Errorf("policy %s is being loaded", policyID)}
		}
		if set.served == nil {
			// A container that has just been restarted is asked before it has read anything, as
			// long as nobody has noticed the restart.
			return found{}, &Error{KindUnavailable, errors.New("the policies are being read")}
		}
		return found{}, &Error{KindUnknownPolicy, fmt.Errorf("unknown policy: %s", policyID)}
	}
}

func (e *Environment) acceptsAll(request Request) bool {
	accepted := e.config.AcceptNamespace
	return accepted != "" && request.Origin != OriginRaw && request.Namespace == accepted
}

func (e *Environment) accept(asked found, request Request) Response {
	rules := Rules{PolicyID: asked.id, Mode: contract.ModeProtect}
	if asked.served != nil {
		rules = asked.served.rules
	}
	response := Response{Allowed: true}
	e.config.Observer.Evaluated(describe(rules, request, response))
	return response
}

// answerNotLoaded answers for a policy of which no revision could be loaded: a denial,
// but not from a policy that is only to monitor.
func (e *Environment) answerNotLoaded(asked found, request Request) Response {
	e.config.Observer.NotLoaded(asked.id, asked.failure.Reason)
	verdict := failed(asked.failure.Message)
	if asked.failure.mode == contract.ModeMonitor && request.Origin != OriginAudit {
		return monitored(verdict)
	}
	return verdict
}

func describe(rules Rules, request Request, verdict Response) Evaluation {
	evaluation := Evaluation{
		PolicyID: rules.PolicyID, Mode: rules.Mode, Origin: request.Origin,
		Kind: request.Kind, Operation: request.Operation, Namespace: request.Namespace,
		Accepted: verdict.Allowed, Mutated: verdict.Patch != nil,
	}
	if verdict.Status != nil {
		evaluation.Code = verdict.Status.Code
	}
	return evaluation
}

// Ready is an error until every policy of the configuration has been loaded or refused
// for good. From then on it is nil: a later failure never takes a serving replica away.
func (e *Environment) Ready() error {
	if e.set.Load().ready {
		return nil
	}
	return errors.New("not every policy of the configuration is loaded or refused for good")
}

// Snapshot is what is served at one moment, for reports and metrics.
type Snapshot struct {
	// SetRevision is a hash of everything that is served.
	SetRevision string
	// ConfigRevision is that of the last configuration of which every entry is served or
	// has failed; "" before the first.
	ConfigRevision string
	// Policies and Failures are by ID, as in contract.Report.
	Policies map[string]contract.Served
	Failures map[string]Failure
	// Digests are those of contract.Report; they must not be written to.
	Digests map[string]string
	// Members are the IDs under which members of groups answer by themselves.
	Members []string
	// Lists are the kinds of objects of which policies that are served may list all there
	// are, in order.
	Lists []host.Resource
	// Ready says whether Environment.Ready is nil.
	Ready bool
}

// lists are those of a Snapshot.
func (s *policySet) lists() []host.Resource {
	var all []host.Resource
	for _, served := range s.served {
		for _, guest := range served.guests() {
			if guest.call.Capabilities.ListsResources() {
				all = append(all, guest.call.Capabilities.Resources()...)
			}
		}
	}
	slices.SortFunc(all, func(a, b host.Resource) int {
		return cmp.Or(cmp.Compare(a.APIVersion, b.APIVersion), cmp.Compare(a.Kind, b.Kind))
	})
	return slices.Compact(all)
}

// Snapshot describes the current set.
func (e *Environment) Snapshot() Snapshot {
	set := e.set.Load()
	snapshot := Snapshot{
		SetRevision: set.setRevision, ConfigRevision: set.configRevision, Ready: set.ready, Digests: set.digests,
		Policies: make(map[string]contract.Served, len(set.served)),
		Failures: make(map[string]Failure, len(set.failures)),
	}
	for id, served := range set.served {
		snapshot.Policies[id] = contract.Served{
			Revision: served.revision, ModuleDigest: contract.ShortDigest(served.digest), Owner: contract.OwnerHash(set.owners[id]),
		}
	}
	snapshot.Members = slices.Sorted(maps.Keys(set.members))
	snapshot.Lists = set.lists()
	for id, failure := range set.failures {
		snapshot.Failures[id] = *failure
	}
	return snapshot
}
