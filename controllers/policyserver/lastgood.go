package policyserver

import (
	"fmt"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// keepLastGood decides, policy by policy, what a replica falls back on that cannot load the
// wanted entry.
func (s *state) keepLastGood() error {
	s.lastGood = map[string]contract.LastGood{}
	if s.rollout.wanted {
		return nil // nobody would fall back
	}
	for id, wanted := range s.policies {
		good, err := s.lastGoodOf(id, wanted)
		if err != nil {
			return fmt.Errorf("find the last good revision of policy %q: %w", id, err)
		}
		if good != nil {
			s.lastGood[id] = *good
		}
	}
	return nil
}

// lastGoodOf is nil when nothing is needed or known. What all ready replicas serve is good;
// while there is none, nobody can say, and the entry that was wanted until now is better than
// nothing: a replica that cannot load it either refuses it as well. It is written together
// with the entry that takes its place, so that no replica ever sees one without the other.
func (s *state) lastGoodOf(id string, wanted contract.Entry) (*contract.LastGood, error) {
	served, err := s.servedByAll(id, wanted)
	if err != nil || served {
		return nil, err
	}
	var held *contract.LastGood
	if good, found := s.configured.LastGood[id]; found && good.UID == wanted.UID {
		held = &good
	}
	former, found := s.configured.Policies[id]
	if !found || former.UID != wanted.UID {
		return held, nil
	}
	if same, err := sameContent(former, wanted); err != nil || same {
		return held, err
	}
	served, err = s.servedByAll(id, former)
	if err != nil || !served && (held != nil || s.replicas.Ready() > 0) {
		return held, err
	}
	digests, err := s.digestsOf(id, former)
	if err != nil || digests == nil {
		return held, err
	}
	good, err := contract.NewLastGood(former, digests)
	return &good, err
}

// servedByAll says whether all ready replicas, and at least one, serve an entry.
func (s *state) servedByAll(id string, entry contract.Entry) (bool, error) {
	policy, err := s.replicas.Policy(id, entry)
	return policy.Ready > 0 && policy.Enforcing == policy.Ready, err
}

// digestsOf are the full digests of an entry's modules, by the name of the member and ""
// for a policy's own: those that it pins, else those that replicas tell. They are nil when
// one of them is not known.
func (s *state) digestsOf(id string, entry contract.Entry) (map[string]string, error) {
	pinned := map[string]string{}
	if !entry.IsGroup() {
		pinned[""] = entry.ModuleDigest
	}
	for name, member := range entry.Policies {
		pinned[name] = member.ModuleDigest
	}
	for _, digest := range pinned {
		if digest == "" {
			return s.replicas.Digests(id, entry)
		}
	}
	return pinned, nil
}

func sameContent(a, b contract.Entry) (bool, error) {
	of, err := contract.EntryHash(a)
	if err != nil {
		return false, err
	}
	other, err := contract.EntryHash(b)
	return of == other, err
}
