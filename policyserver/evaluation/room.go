package evaluation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
)

// Where memory has no room for a module, namespaced policies go without before cluster-wide
// ones; among the namespaced, those of the namespace that uses most; and of those, the newest.
// So no tenant can keep out or push out the cluster's own policies, or have more than others.
// It is the order in which policies are refused room in a ConfigMap.

// lack is what a policy could not be loaded for.
type lack struct {
	// needed is the size of the module that had no room, allowed that of all modules.
	needed, allowed int64
	// holds are the modules of a group that were loaded before, by digest.
	holds map[string]int64
	// soon says that there is room: what was let go of is still in use.
	soon bool
}

// lackOf is nil when an error is no lack of room.
func lackOf(err error) *lack {
	over, is := errors.AsType[*memory.OverError](err)
	if !is || reasonOf(err) != contract.ReasonNoRoom {
		return nil
	}
	missing := &lack{needed: over.Needed, allowed: over.Allowed}
	if member, is := errors.AsType[*memberError](err); is {
		missing.holds = member.holds
	}
	return missing
}

// tenant is who has room, or asks for some.
type tenant struct {
	id string
	// namespace is "" for a cluster-wide policy.
	namespace string
	// since is when the loader first saw the policy, as a number that grows.
	since int
	// modules are the sizes of those it uses, by digest.
	modules map[string]int64
}

// namespaceOf is the namespace of a policy by its ID: kw.ap.<namespace>.<name>.
func namespaceOf(id string) string {
	if !contract.IsNamespacedID(id) {
		return ""
	}
	return strings.SplitN(id, ".", 4)[2]
}

// byScope orders cluster-wide policies before namespaced ones.
func byScope(a, b string) int {
	return cmp.Compare(min(len(namespaceOf(a)), 1), min(len(namespaceOf(b)), 1))
}

// modulesOf are the sizes of the modules of a policy, by digest; instances of its own count
// by digest and policy.
func (p *servedPolicy) modulesOf() map[string]int64 {
	sizes := map[string]int64{}
	for _, guest := range p.guests() {
		switch module := guest.module; {
		case module == nil:
		case module.of != nil:
			sizes[module.digest] = module.of.Bytes()
			sizes[module.digest+" of "+guest.call.PolicyID] = module.Bytes()
		default:
			sizes[module.digest] = module.Bytes()
		}
	}
	return sizes
}

// tenants are the policies that serve, in order of their age.
func (l *Loader) tenants() []tenant {
	var all []tenant
	for id, state := range l.entries {
		if state.served != nil {
			all = append(all, tenant{id: id, namespace: namespaceOf(id), since: state.since, modules: state.served.modulesOf()})
		}
	}
	slices.SortFunc(all, func(a, b tenant) int {
		return cmp.Or(cmp.Compare(a.since, b.since), cmp.Compare(a.id, b.id))
	})
	return all
}

// makeRoom decides what becomes of a policy whose job found no room. again says that it is
// worth to try at once: gone are the policies that serve no longer for its sake.
func (l *Loader) makeRoom(ctx context.Context, failed *job, state *entryState, due chan<- string) (gone []*servedPolicy, again bool) {
	missing := state.failure.lack
	if missing == nil {
		return nil, false
	}
	tenants := l.tenants()
	asking := tenant{id: failed.id, namespace: namespaceOf(failed.id), since: state.since, modules: missing.holds}
	idle := l.modules.dropIdle(modulesOfAll(append(tenants, asking)))
	evicted, fits := evict(tenants, asking, missing.needed, missing.allowed)
	if !fits {
		return nil, false
	}
	missing.soon = true
	for _, victim := range evicted {
		gone = append(gone, l.evict(victim, failed.id))
		loser := l.entries[victim.id]
		loser.failure.lack = &lack{needed: total(victim.modules), allowed: missing.allowed}
		l.retryLater(ctx, victim.id, loser, due)
		l.logFailure(ctx, victim.id, loser)
	}
	// Once: two policies could throw out the modules that the other is about to use.
	return gone, len(gone) > 0 || (idle && !failed.again)
}

// evict ends what serves a policy, for the sake of another one.
func (l *Loader) evict(victim tenant, favoured string) *servedPolicy {
	state := l.entries[victim.id]
	served := state.served
	state.callOff()
	state.served = nil
	state.failure = newFailure(victim.id, state.hash, state.entry, &policy.Error{
		Kind: policy.KindNoRoom,
		Message: fmt.Sprintf("its memory, %.1f MiB, was needed for %s: cluster-wide policies come first, then namespaces that use less",
			float64(total(victim.modules))/(1<<20), favoured),
	})
	return served
}

// fillRoom tries those again that had no room and have some now; it is called when nothing
// is being prepared.
func (l *Loader) fillRoom(ctx context.Context) {
	var waiting []tenant
	tenants := l.tenants()
	taken := total(modulesOfAll(tenants))
	for id, state := range l.entries {
		switch missing := state.lack(); {
		case missing == nil:
		case missing.soon:
			taken += missing.needed + total(missing.holds)
		default:
			waiting = append(waiting, tenant{id: id, namespace: namespaceOf(id), since: state.since})
		}
	}
	slices.SortFunc(waiting, func(a, b tenant) int {
		return cmp.Or(byScope(a.id, b.id), cmp.Compare(a.since, b.since), cmp.Compare(a.id, b.id))
	})
	for _, one := range waiting {
		state := l.entries[one.id]
		missing := state.failure.lack
		needed := missing.needed + total(missing.holds)
		if taken+needed > missing.allowed {
			continue
		}
		taken += needed
		state.callOff()
		l.start(ctx, one.id, state)
	}
}

// lack is what keeps a policy from being loaded, as far as that is room.
func (s *entryState) lack() *lack {
	if s.failure == nil || s.job != nil {
		return nil
	}
	return s.failure.lack
}

func modulesOfAll(tenants []tenant) map[string]int64 {
	all := map[string]int64{}
	for _, one := range tenants {
		maps.Copy(all, one.modules)
	}
	return all
}

func total(modules map[string]int64) int64 {
	var sum int64
	for _, size := range modules {
		sum += size
	}
	return sum
}

// evict chooses the tenants that have to go so that one that asks has room for so many bytes
// beside its modules; false says that it is the one to go without. The tenants are in order
// of their age. Nobody goes whose going does not help.
func evict(tenants []tenant, asking tenant, needed, allowed int64) (gone []tenant, fits bool) {
	left := slices.Clone(tenants)
	for !hasRoom(left, asking, needed, allowed) {
		at := next(left, asking, needed)
		if at < 0 {
			return nil, false
		}
		gone = append(gone, left[at])
		left = slices.Delete(left, at, at+1)
	}
	for i, one := range slices.Backward(gone) {
		if hasRoom(append(slices.Clone(left), one), asking, needed, allowed) {
			left = append(left, one)
			gone = slices.Delete(gone, i, i+1)
		}
	}
	return gone, true
}

func hasRoom(tenants []tenant, asking tenant, needed, allowed int64) bool {
	return total(modulesOfAll(append(slices.Clone(tenants), asking)))+needed <= allowed
}

// next is the tenant that has to go first, or -1: the newest of the namespace that uses most,
// as long as that is more than the one that asks would use. A cluster-wide policy uses nothing
// in this sense, and what it has costs no namespace anything.
func next(tenants []tenant, asking tenant, needed int64) int {
	shared := map[string]int64{}
	byNamespace := map[string]map[string]int64{}
	for _, one := range append(slices.Clone(tenants), asking) {
		if one.namespace == "" {
			maps.Copy(shared, one.modules)
			continue
		}
		if byNamespace[one.namespace] == nil {
			byNamespace[one.namespace] = map[string]int64{}
		}
		maps.Copy(byNamespace[one.namespace], one.modules)
	}
	uses := map[string]int64{}
	for namespace, modules := range byNamespace {
		maps.DeleteFunc(modules, func(digest string, _ int64) bool { _, is := shared[digest]; return is })
		uses[namespace] = total(modules)
	}
	if asking.namespace != "" {
		uses[asking.namespace] += needed
	}
	at := -1
	for i, one := range tenants {
		if one.namespace == "" || one.id == asking.id || (asking.namespace != "" && uses[one.namespace] <= uses[asking.namespace]) {
			continue
		}
		if at < 0 || uses[one.namespace] > uses[tenants[at].namespace] ||
			(uses[one.namespace] == uses[tenants[at].namespace] && one.namespace <= tenants[at].namespace) {
			at = i
		}
	}
	return at
}
