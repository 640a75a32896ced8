package evaluation

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Waits where LoaderConfig sets none. Without any wait a module that cannot be had would be
// asked for as fast as its source refuses it.
const (
	defaultRetryFirst = time.Second
	defaultRetryMost  = time.Minute
	defaultRetrySlow  = 5 * time.Minute
)

func positiveOr(wait, otherwise time.Duration) time.Duration {
	if wait <= 0 {
		return otherwise
	}
	return wait
}

// retryLater arranges another attempt at a policy that may be loaded later without a change
// of its entry. What may pass by itself is tried again soon, and then less and less often;
// what the source refuses, or memory has no room for, once in a while: a tag may be pushed, a
// right be granted, or a module be given up.
func (l *Loader) retryLater(ctx context.Context, id string, state *entryState, due chan<- string) {
	wait := l.config.RetrySlow
	switch reason := state.failure.Reason; {
	case state.failure.passes():
		wait = l.config.RetryMost
		if doublings := state.attempts; doublings < 16 {
			wait = min(wait, l.config.RetryFirst<<doublings)
		}
	case !reason.Refusal() && reason != contract.ReasonNoRoom:
		return
	}
	state.attempts++
	state.retry = time.AfterFunc(wait, func() {
		select {
		case due <- id:
		case <-ctx.Done():
		}
	})
}

// passes says whether a failure may end by itself, soon.
func (f *Failure) passes() bool { return f.Reason.Transient() || (f.lack != nil && f.lack.soon) }

// patience is the end of StartupPatience.
func (l *Loader) patience() (over <-chan time.Time, stop func()) {
	if l.config.StartupPatience <= 0 {
		return nil, func() {}
	}
	timer := time.NewTimer(l.config.StartupPatience)
	return timer.C, func() { timer.Stop() }
}

// losePatience lets a replica be ready without what it cannot load: that must not keep all
// the others from being enforced for ever.
func (l *Loader) losePatience(ctx context.Context) {
	l.impatient = true
	if l.configRevision == "" || l.config.Environment.Ready() == nil {
		return
	}
	var missing []string
	for _, id := range slices.Sorted(maps.Keys(l.entries)) {
		if l.entries[id].served == nil {
			missing = append(missing, id)
		}
	}
	l.config.Logger.WarnContext(ctx, "ready without policies that could not be loaded in time",
		"startup_patience", l.config.StartupPatience, "policy_ids", missing)
	l.publish()
}
