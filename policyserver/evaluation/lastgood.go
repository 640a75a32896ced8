package evaluation

import (
	"context"
	"reflect"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// A replica that has served a policy goes on to serve what it has when a change of it cannot
// be loaded (underEntry). A replica that begins after the change has nothing; it loads what
// the operator wrote down of the time before.

// lastGoodOf is what may serve in the place of an entry; nil for nothing.
func lastGoodOf(wanted Wanted, id string) *contract.LastGood {
	good, found := wanted.LastGood[id]
	if !found || good.UID != wanted.Policies[id].UID {
		return nil
	}
	return &good
}

// fallBack prepares the last good revision of a policy whose wanted one could not be loaded.
// It is fetched, verified and granted as everything else is today: what today refuses is not
// served, and the result is nil.
func (l *Loader) fallBack(ctx context.Context, next *job) *servedPolicy {
	if next.lastGood == nil || ctx.Err() != nil {
		return nil
	}
	served, err := l.prepare(ctx, next.id, next.lastGood.Under(next.entry), next.from)
	if err != nil {
		l.config.Logger.WarnContext(ctx, "last good revision not loaded", "policy_id", next.id,
			"revision", next.lastGood.Revision, "reason", reasonOf(err), "cause", messageOf(err))
		return nil
	}
	served.revision = next.lastGood.Revision
	return served
}

// offers says whether there is something new to fall back on for a policy that nothing serves.
func (s *entryState) offers(good *contract.LastGood) bool {
	return s.served == nil && good != nil && !reflect.DeepEqual(s.lastGood, good)
}

// owns says whether what serves a policy, if anything does, may serve this entry of it: a
// policy that was deleted and made again inherits nothing.
func (s *entryState) owns(entry contract.Entry) bool {
	return s.served == nil || s.entry.UID == entry.UID
}

// disown takes away and gives what serves a policy and is not the entry's own.
func (s *entryState) disown(entry contract.Entry) *servedPolicy {
	if s.owns(entry) {
		return nil
	}
	served := s.served
	s.served = nil
	return served
}
