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
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Wanted is what is to be served.
type Wanted struct {
	// Policies and Refused are the results of contract.DecodePolicies.
	Policies contract.Policies
	Refused  map[string]error
	Sources  contract.Sources
	// Verification is what modules must be signed with; nil demands nothing.
	Verification *contract.Verification
	// LastGood are revisions to fall back on, by policy ID.
	LastGood map[string]contract.LastGood
}

// LoaderConfig is what a Loader is made from. Every field is needed that does not say what
// goes without it.
type LoaderConfig struct {
	Environment *Environment
	// FetcherFor gives the fetcher for a sources.yml and a verification.yml.
	FetcherFor func(contract.Sources, *contract.Verification) Fetcher
	Compile    func(ctx context.Context, wasm []byte) (Module, error)
	// PolicyTimeout bounds an evaluation where the policy has no timeout of its own; 0
	// does not.
	PolicyTimeout time.Duration
	// SettingsTimeout bounds a policy's check of its settings.
	SettingsTimeout time.Duration
	// Parallelism is how many modules are fetched and compiled at the same time, and how many
	// policies have their settings checked.
	Parallelism int
	// RetryFirst and RetryMost are the shortest and longest wait after a failure that may
	// pass; the wait doubles from one to the other. 0 means 1 s, and a minute.
	RetryFirst, RetryMost time.Duration
	// RetrySlow is the wait after a refusal of the source, which somebody may put right
	// there. 0 means five minutes.
	RetrySlow time.Duration
	// StartupPatience is how long transient failures keep a loader from being ready that has
	// just begun; 0 is for ever.
	StartupPatience time.Duration
	Observer        LoadObserver
	// TraceGroup follows the evaluation of groups; nil does not.
	TraceGroup TraceGroup
	Logger     *slog.Logger
	Now        func() time.Time
}

// Loader makes an Environment serve what is wanted, policy by policy:
//
//	Apply -> adopt: entries that did not change stay as they are; for each of the others
//	                a job prepares it aside, while what served it serves on
//	job   -> settle: the policy joins the set, or its failure does; a failure that may
//	                pass is tried again, with longer and longer waits
//
// Each change of the set is one exchange of a pointer. All state belongs to the goroutine
// of Run; jobs only send it their result.
type Loader struct {
	config  LoaderConfig
	modules *modules
	wanted  chan Wanted
	results chan result
	checks  slots // of settings

	entries map[string]*entryState
	// supply is that of the current configuration.
	supply         supply
	configRevision string
	// trusts counts the verifications that were wanted.
	trusts int
	jobs   int
	// seen counts the policies that there ever were.
	seen int
	// impatient says that StartupPatience is over.
	impatient bool
}

// entryState is what the loader knows of one policy of the configuration.
type entryState struct {
	entry contract.Entry
	hash  string
	// pins are the digests that the entry allows; no change of hash tells of them.
	pins string
	// lastGood is what a replica without an earlier revision falls back on; nil for nothing.
	lastGood *contract.LastGood
	// served serves; it is of an earlier revision while failure or job is not nil.
	served  *servedPolicy
	failure *Failure
	// job is what prepares the wanted revision; nil when nothing does.
	job      *job
	attempts int
	retry    *time.Timer
	// since is how many policies the loader had seen before.
	since int
}

// job prepares one revision of one policy.
type job struct {
	id     string
	entry  contract.Entry
	from   supply
	cancel context.CancelFunc
	// unproven serves, and must be proven when the entry cannot be loaded; nil for nothing.
	unproven *servedPolicy
	// lastGood is to be loaded when the entry cannot be; nil when something serves already.
	lastGood *contract.LastGood
	// again says that it follows at once on one that found no room.
	again bool
}

// result is what became of a job. With an err, served is the last good revision, or nil,
// and proven says that what was unproven is proven now.
type result struct {
	job    *job
	served *servedPolicy
	proven bool
	err    error
}

// slowAttempts is how often a policy that takes too long to check its settings gets
// another chance, before its settings count as invalid: the machine may be busy, above all
// when everything starts, but a policy that hangs must not keep a replica unready for ever.
const slowAttempts = 2

// NewLoader makes a loader. It does nothing before Run.
func NewLoader(config LoaderConfig) *Loader {
	config.RetryFirst = positiveOr(config.RetryFirst, defaultRetryFirst)
	config.RetryMost = positiveOr(config.RetryMost, defaultRetryMost)
	config.RetrySlow = positiveOr(config.RetrySlow, defaultRetrySlow)
	return &Loader{
		config:  config,
		modules: newModules(config),
		wanted:  make(chan Wanted, 1),
		results: make(chan result),
		checks:  make(slots, config.Parallelism),
		entries: map[string]*entryState{},
	}
}

// Apply asks for a configuration to be served. It does not wait, and only the newest
// configuration counts. One goroutine at a time may call it.
func (l *Loader) Apply(wanted Wanted) {
	select {
	case <-l.wanted: // one that nobody has looked at yet
	default:
	}
	l.wanted <- wanted
}

// Run works until ctx is done. It must be called once.
func (l *Loader) Run(ctx context.Context) {
	due := make(chan string)
	patience, stopPatience := l.patience()
	defer l.stop()
	defer stopPatience()
	for {
		select {
		case <-ctx.Done():
			return
		case wanted := <-l.wanted:
			l.adopt(ctx, wanted)
		case <-patience:
			l.losePatience(ctx)
		case result := <-l.results:
			l.settle(ctx, result, due)
		case id := <-due:
			if state := l.entries[id]; state != nil && state.job == nil && state.retry != nil {
				l.start(ctx, id, state)
			}
		}
		if l.jobs == 0 {
			l.modules.sweep(l.inUse())
			l.fillRoom(ctx)
		}
	}
}

// stop waits for the jobs, whose context has ended with that of Run. What serves goes on
// serving.
func (l *Loader) stop() {
	for ; l.jobs > 0; l.jobs-- {
		if result := <-l.results; result.served != nil {
			result.served.release()
		}
	}
	for _, state := range l.entries {
		if state.retry != nil {
			state.retry.Stop()
		}
	}
}

// adopt compares a configuration with the one before and starts what has to be done.
func (l *Loader) adopt(ctx context.Context, wanted Wanted) {
	revision, err := contract.DecodedRevision(wanted.Policies, wanted.Refused)
	if err != nil {
		// DecodePolicies gives no entry that cannot be hashed.
		l.config.Logger.ErrorContext(ctx, "ignore configuration", "error", err)
		return
	}
	l.configRevision = revision
	renewed := l.adoptSupply(wanted)
	gone := l.dropMissing(wanted)
	for id, err := range wanted.Refused {
		if unproven := l.refuse(ctx, id, err); unproven != nil {
			gone = append(gone, unproven)
		}
	}
	// Cluster-wide policies come first where room is scarce.
	order := slices.SortedFunc(maps.Keys(wanted.Policies), func(a, b string) int { return cmp.Or(byScope(a, b), cmp.Compare(a, b)) })
	for _, id := range order {
		if disowned := l.want(ctx, id, wanted, renewed); disowned != nil {
			gone = append(gone, disowned)
		}
	}
	l.publish()
	for _, served := range gone {
		served.release()
	}
}

// dropMissing forgets the policies that are wanted no more and gives what served them.
func (l *Loader) dropMissing(wanted Wanted) []*servedPolicy {
	var gone []*servedPolicy
	for id, state := range l.entries {
		_, kept := wanted.Policies[id]
		if _, refused := wanted.Refused[id]; kept || refused {
			continue
		}
		state.callOff()
		if state.served != nil {
			gone = append(gone, state.served)
		}
		delete(l.entries, id)
	}
	return gone
}

// refuse notes an entry that could not be read. The result is what may serve no longer: an
// entry that cannot be read does not say where it could be proven.
func (l *Loader) refuse(ctx context.Context, id string, err error) (unproven *servedPolicy) {
	state := l.state(id)
	if !l.supply.proves(state.served) {
		unproven, state.served = state.served, nil
	}
	hash := contract.RefusedHash(err)
	if state.failure != nil && state.failure.Reason == contract.ReasonInvalidEntry && state.hash == hash {
		return unproven
	}
	state.callOff()
	state.hash, state.pins = hash, pinsUnknown
	state.failure = &Failure{
		Wanted: hash, Reason: contract.ReasonInvalidEntry, Cause: err.Error(),
		Message: fmt.Sprintf("bootstrap failure: %s: %s", id, err),
	}
	l.logFailure(ctx, id, state)
	return unproven
}

// want notes an entry and starts to prepare it, unless that is done or being done. renewed
// says that what failed before may work now. The result is what may serve no longer.
func (l *Loader) want(ctx context.Context, id string, wanted Wanted, renewed bool) *servedPolicy {
	entry, lastGood := wanted.Policies[id], lastGoodOf(wanted, id)
	hash, err := contract.EntryHash(entry)
	if err != nil {
		return nil // DecodePolicies gives no entry that cannot be hashed
	}
	state := l.state(id)
	sameContent, pins := state.hash == hash, pinsOf(entry)
	same := sameContent && state.pins == pins
	settled := state.job == nil && state.failure == nil && state.served != nil
	refused := state.failure != nil && !state.failure.Reason.Transient()
	switch {
	case sameContent && settled && state.served.satisfies(entry) && l.supply.proves(state.served):
		// It is what serves already that was pinned, or is no longer.
		state.entry, state.pins, state.lastGood = entry, pins, lastGood
		return nil
	case same && !renewed && state.owns(entry) && !state.offers(lastGood) && (refused || state.job != nil || state.retry != nil):
		return nil
	}
	state.callOff()
	disowned := state.disown(entry)
	state.entry, state.hash, state.pins, state.lastGood, state.attempts = entry, hash, pins, lastGood, 0
	if !same {
		state.failure = nil
	}
	l.start(ctx, id, state)
	return disowned
}

func (l *Loader) state(id string) *entryState {
	state := l.entries[id]
	if state == nil {
		state = &entryState{since: l.seen}
		l.seen++
		l.entries[id] = state
	}
	return state
}

// callOff ends what is being done about a policy.
func (s *entryState) callOff() {
	if s.job != nil {
		s.job.cancel()
		s.job = nil
	}
	if s.retry != nil {
		s.retry.Stop()
		s.retry = nil
	}
}

// start prepares the wanted revision of a policy aside.
func (l *Loader) start(ctx context.Context, id string, state *entryState) {
	ctx, cancel := context.WithCancel(ctx)
	next := &job{id: id, entry: state.entry, from: l.supply, cancel: cancel}
	if !l.supply.proves(state.served) {
		next.unproven = state.served
	}
	if state.served == nil || next.unproven != nil {
		next.lastGood = state.lastGood
	}
	state.job, state.retry = next, nil
	l.jobs++
	go func() {
		defer cancel()
		outcome := result{job: next}
		if outcome.served, outcome.err = l.prepare(ctx, next.id, next.entry, next.from); outcome.err != nil {
			if outcome.proven = l.prove(ctx, next); !outcome.proven {
				outcome.served = l.fallBack(ctx, next)
			}
		}
		l.results <- outcome
	}()
}

// settle takes the result of a job.
func (l *Loader) settle(ctx context.Context, outcome result, due chan<- string) {
	l.jobs--
	state := l.entries[outcome.job.id]
	if state == nil || state.job != outcome.job {
		if outcome.served != nil { // nobody wants it any more
			outcome.served.release()
		}
		return
	}
	state.job = nil
	earlier, gone := state.served, (*servedPolicy)(nil)
	if outcome.err == nil {
		state.served, state.failure, state.attempts = outcome.served, nil, 0
		l.config.Logger.InfoContext(ctx, "policy loaded", "policy_id", outcome.job.id,
			"revision", state.served.revision, "module", state.entry.Module, "digest", state.served.digest)
		l.publish()
		if earlier != nil {
			earlier.release()
		}
		return
	}
	state.failure = newFailure(outcome.job.id, state.hash, state.entry, outcome.err)
	if loading, is := errors.AsType[*loadError](outcome.err); is && loading.slow && state.attempts < slowAttempts {
		state.failure.Reason = contract.ReasonUnavailable
	}
	switch {
	case earlier != nil && outcome.job.unproven == nil:
		state.served = l.underEntry(earlier, state.entry)
	case outcome.proven:
		state.served = l.underEntry(earlier, state.entry)
		state.served.trust = outcome.job.from.trust
	default:
		state.served, gone = outcome.served, earlier
	}
	evicted, again := l.makeRoom(ctx, outcome.job, state, due)
	if !again {
		l.retryLater(ctx, outcome.job.id, state, due)
	}
	l.logFailure(ctx, outcome.job.id, state)
	l.publish()
	if gone != nil {
		evicted = append(evicted, gone)
	}
	for _, served := range evicted {
		served.release()
	}
	if again {
		used := modulesOfAll(l.tenants())
		maps.Copy(used, state.failure.lack.holds)
		l.modules.dropIdle(used)
		state.attempts++
		l.start(ctx, outcome.job.id, state)
		state.job.again = true
	}
}

func (l *Loader) logFailure(ctx context.Context, id string, state *entryState) {
	serving := "none"
	if state.served != nil {
		serving = state.served.revision
	}
	l.config.Logger.ErrorContext(ctx, "policy not loaded", "policy_id", id, "reason", state.failure.Reason,
		"cause", state.failure.Cause, "will_retry", state.retry != nil, "serving_revision", serving)
}

// publish puts what is known into the environment, in one step.
func (l *Loader) publish() {
	before := l.config.Environment.set.Load()
	set := &policySet{
		served: map[string]*servedPolicy{}, members: map[string]*servedPolicy{}, failures: map[string]*Failure{}, pending: map[string]bool{},
		digests: map[string]string{}, owners: map[string]string{}, configRevision: before.configRevision, ready: before.ready,
	}
	settled, ready := true, true
	var revisions strings.Builder
	for _, id := range slices.Sorted(maps.Keys(l.entries)) {
		state := l.entries[id]
		switch {
		case state.failure != nil:
			set.failures[id] = state.failure
			// A policy that an earlier revision enforces keeps no replica back.
			ready = ready && (state.served != nil || l.impatient || !state.failure.passes())
		case state.job != nil:
			settled, ready = false, ready && l.impatient
			set.pending[id] = true
		}
		if state.served != nil {
			set.serve(id, state.served)
			set.owners[id] = state.entry.UID
			maps.Copy(set.digests, digestsOf(id, state.served, state.entry))
			fmt.Fprintf(&revisions, "%s %s\n", id, state.served.revision)
		}
	}
	set.setRevision = contract.ShortHash(revisions.String())
	if settled {
		set.configRevision = l.configRevision
	}
	set.ready = set.ready || ready
	l.config.Environment.set.Store(set)
	l.config.Observer.SetChanged(l.config.Environment.Snapshot())
}

// serve puts a policy into the set, and with a group its members.
func (s *policySet) serve(id string, served *servedPolicy) {
	s.served[id] = served
	if served.group == nil {
		return
	}
	for name, member := range served.group.members {
		id := memberID(id, name)
		s.members[id] = &servedPolicy{rules: Rules{PolicyID: id, Mode: contract.ModeProtect}, guest: member}
	}
}

// inUse gives the sources of the entries and the digests of the modules that serve.
func (l *Loader) inUse() (sources map[source]bool, digests map[string]bool) {
	sources, digests = make(map[source]bool, len(l.entries)), make(map[string]bool, len(l.entries))
	for _, state := range l.entries {
		for _, from := range sourcesOf(state.entry, l.supply.trust) {
			sources[from] = true
		}
		if state.served == nil {
			continue
		}
		for _, guest := range state.served.guests() {
			digests[guest.module.digest] = true
		}
	}
	return sources, digests
}
