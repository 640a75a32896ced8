//go:build integration

package simulator

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Words in the name of a module, and one in settings, that decide what a process can load.
const (
	// BadModule is in the name of a module that the engine refuses.
	BadModule = "bad"
	// MissingModule is in the name of one that its source does not have.
	MissingModule = "missing"
	// BrokenSettings is in settings that the policy refuses.
	BrokenSettings = "broken"
)

// startPatience is how long what may pass keeps a new process from being ready.
const startPatience = 2 * time.Second

// process is a Replica that works by itself.
type process struct {
	kubelet     *kubelet
	server, pod string
	uid         types.UID
	told        time.Time // when it was told to stop; zero unless it was

	replica    *Replica // nil until it runs
	silent     bool     // it follows upstream's contract: it reads files at start, and never reports
	ready      bool
	readySince time.Time
	cut        bool
	// seen is the resource version of the configuration that was taken last, wanted what it said.
	seen   string
	wanted contract.Policies
	// pending says that there is something to report.
	pending  bool
	reported State
}

// State is what a replica is, and what it last reported.
type State struct {
	Server, Pod string
	// Ready is as the Pod says; ReadySince is when that became so.
	Ready      bool
	ReadySince time.Time
	// Terminating says that the process was told to stop.
	Terminating bool
	// Silent says that the process never reports. Served and Config are then what it read at
	// start.
	Silent bool
	// Cut says that the process does not reach the API server.
	Cut bool
	// Reports says that the process that runs has reported. Served, FellBack, Refused and
	// Config are what it said.
	Reports  bool
	Served   map[string]contract.Entry
	FellBack map[string]string
	Refused  map[string]contract.Failure
	Config   contract.Policies
}

func (p *process) begin(replica *Replica) {
	p.replica, p.ready, p.seen, p.wanted, p.pending = replica, false, "", nil, false
	p.reported = State{}
}

func (p *process) state() State {
	state := p.reported
	state.Server, state.Pod, state.Cut = p.server, p.pod, p.cut
	state.Ready, state.ReadySince = p.ready && p.told.IsZero(), p.readySince
	state.Terminating, state.Silent = !p.told.IsZero(), p.silent
	return state
}

// work takes a changed configuration, tries again what may have passed, and reports.
func (p *process) work(ctx context.Context, configMaps map[string]*corev1.ConfigMap) error {
	configMap, reports := configMaps[contract.ConfigMapName(p.server)], configMaps[contract.ReportConfigMapName(p.server)]
	if p.cut || p.silent || configMap == nil {
		return nil
	}
	if version := string(configMap.UID) + configMap.ResourceVersion; version != p.seen || p.waits() {
		configuration, err := p.replica.Read(ctx)
		if err != nil {
			return nil //nolint:nilerr // what it may not read, or cannot, it reads later
		}
		if err := p.take(configuration); err != nil {
			return err
		}
		p.seen, p.pending = version, p.pending || version != p.seen
	}
	if p.wanted == nil || reports == nil {
		return nil
	}
	// A policy server looks every half a minute whether its report still stands.
	p.pending = p.pending || reports.Data[p.pod] != p.replica.Written
	if p.pending && p.report(ctx) == nil {
		p.pending = false
	}
	p.ready = p.ready || p.reported.Reports && (!p.waits() || time.Since(p.replica.Started) > startPatience)
	return nil
}

// readOnce is what a process of upstream's contract does when it starts. One that cannot load
// all of it ends at once, again and again, and so is never ready.
func (p *process) readOnce(configuration Configuration) error {
	if err := p.replica.Take(configuration.Policies, p.refuse); err != nil {
		return err
	}
	p.ready = len(p.replica.Refused) == 0
	if p.ready {
		p.noteServed()
	}
	p.reported = State{Served: maps.Clone(p.replica.Served), Config: configuration.Policies}
	return nil
}

func (p *process) noteServed() {
	for id := range p.replica.Served {
		p.kubelet.serve(p, p.replica.Served[id].UID)
	}
}

func (p *process) report(ctx context.Context) error {
	p.noteServed()
	if err := p.replica.Report(ctx, p.wanted); err != nil {
		return err
	}
	p.reported = State{
		Reports: true, Served: maps.Clone(p.replica.Served), FellBack: maps.Clone(p.replica.FellBack),
		Refused: maps.Clone(p.replica.Refused), Config: p.wanted,
	}
	return nil
}

// take loads what it can, and falls back on what served last where it has nothing.
func (p *process) take(configuration Configuration) error {
	before := len(p.replica.Refused)
	if err := p.replica.Take(configuration.Policies, p.refuse); err != nil {
		return err
	}
	p.wanted = configuration.Policies
	for id := range p.replica.Refused {
		good, ok := configuration.LastGood[id]
		_, serves := p.replica.Served[id]
		wanted := configuration.Policies[id]
		if serves || !ok || good.UID != wanted.UID {
			continue
		}
		if entry := good.Under(wanted); p.refuse(id, entry) == nil {
			p.replica.Served[id], p.replica.FellBack[id] = entry, good.Revision
		}
	}
	p.pending = p.pending || before != len(p.replica.Refused)
	return nil
}

// waits says whether something that is refused may pass by itself.
func (p *process) waits() bool {
	for _, failure := range p.replica.Refused {
		if failure.Reason.Transient() {
			return true
		}
	}
	return false
}

// refuse decides whether an entry can be loaded.
func (p *process) refuse(id string, entry contract.Entry) *Refusal {
	if !entry.IsGroup() {
		return p.refuseModule(entry.Module, p.replica.Served[id].Module, string(entry.Settings))
	}
	for _, name := range slices.Sorted(maps.Keys(entry.Policies)) {
		member := entry.Policies[name]
		held := p.replica.Served[id].Policies[name].Module
		if refusal := p.refuseModule(member.Module, held, string(member.Settings)); refusal != nil {
			return refusal
		}
	}
	return nil
}

// refuseModule decides about one module; held is the one that the process has already.
func (p *process) refuseModule(module, held, settings string) *Refusal {
	switch {
	case strings.Contains(module, BadModule):
		return &Refusal{Reason: contract.ReasonInvalidModule, Message: "no module of a policy"}
	case strings.Contains(module, MissingModule):
		return &Refusal{Reason: contract.ReasonModuleNotFound, Message: "the source has no such module"}
	case p.kubelet.away && held != module:
		return &Refusal{Reason: contract.ReasonFetchFailed, Message: "the source does not answer"}
	case strings.Contains(settings, BrokenSettings):
		return &Refusal{Reason: contract.ReasonInvalidSettings, Message: "settings are not as they must be"}
	default:
		return nil
	}
}
