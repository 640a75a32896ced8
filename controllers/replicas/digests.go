package replicas

import (
	"cmp"
	"fmt"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Digests gives the full digests of the modules with which the wanted entry is served, by
// the name of the member; that of a policy has the name "". Where replicas do not agree, the
// oldest ready one counts: it is likely to be the one that has answered most requests. The
// result is empty as long as no ready replica serves the entry and tells the digests.
func (s Set) Digests(id string, wanted contract.Entry) (map[string]string, error) {
	for _, replica := range s.byAge() {
		if !replica.Ready || replica.Silent || replica.Report == nil {
			continue
		}
		digests, err := reportedDigests(*replica.Report, id, wanted)
		if err != nil {
			return nil, fmt.Errorf("compute the revision of policy %q: %w", id, err)
		}
		if digests != nil {
			return digests, nil
		}
	}
	return nil, nil
}

// reportedDigests are nil unless a report tells all of them and they are those of the wanted
// entry: a report may be older than the entry, or of a revision before.
func reportedDigests(report contract.Report, id string, wanted contract.Entry) (map[string]string, error) {
	served, ok := report.Policies[id]
	if !ok {
		return nil, nil
	}
	digests, whole := map[string]string{}, ""
	if !wanted.IsGroup() {
		digests[""] = cmp.Or(report.Digests[id], wanted.ModuleDigest)
		whole = digests[""]
	} else {
		for name, member := range wanted.Policies {
			digests[name] = cmp.Or(report.Digests[contract.MemberID(id, name)], member.ModuleDigest)
		}
		whole = contract.GroupDigest(digests)
	}
	revision, err := contract.Revision(wanted, whole)
	if err != nil {
		return nil, err
	}
	if served.Revision != revision || served.ModuleDigest != contract.ShortDigest(whole) || !served.MayBe(wanted.UID) {
		return nil, nil
	}
	return digests, nil
}
