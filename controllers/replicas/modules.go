package replicas

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Module is a module that a replica has loaded.
type Module struct {
	// URL and Refresh are what stood for it where it was loaded: a policy with the same two
	// is taken to mean the same module.
	URL, Refresh string
	// Digest is "sha256:" and 64 hex digits.
	Digest string
	// Replica is one of those that have it: the oldest ready one that can be reached.
	Replica Replica
}

// Modules are the modules that ready replicas have loaded for the policies of a server, as far
// as their reports tell the full digests; ordered by age of the replica and ID of the policy.
func (s Set) Modules(policies contract.Policies) ([]Module, error) {
	var modules []Module
	for _, replica := range s.byAge() {
		if !replica.Ready || replica.Silent || replica.Report == nil || replica.Address == "" {
			continue
		}
		for _, id := range slices.Sorted(maps.Keys(policies)) {
			entry := policies[id]
			digests, err := loadedDigests(*replica.Report, id, entry)
			if err != nil {
				return nil, fmt.Errorf("compute the revision of policy %q: %w", id, err)
			}
			for _, name := range slices.Sorted(maps.Keys(digests)) {
				modules = append(modules, Module{
					URL: cmp.Or(entry.Module, entry.Policies[name].Module), Refresh: entry.Refresh, Digest: digests[name], Replica: replica,
				})
			}
		}
	}
	return modules, nil
}

// byAge is the set with the oldest replica first.
func (s Set) byAge() Set {
	oldest := slices.Clone(s)
	slices.SortStableFunc(oldest, func(a, b Replica) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name))
	})
	return oldest
}

// loadedDigests are reportedDigests, and those of a former revision of an entry whose modules
// are all pinned: settings that are refused do not unload the module of those that serve.
func loadedDigests(report contract.Report, id string, entry contract.Entry) (map[string]string, error) {
	digests, err := reportedDigests(report, id, entry)
	if err != nil || digests != nil {
		return digests, err
	}
	served, ok := report.Policies[id]
	pinned := entry.PinnedDigest()
	if !ok || pinned == "" || served.ModuleDigest != contract.ShortDigest(pinned) {
		return nil, nil
	}
	if !entry.IsGroup() {
		return map[string]string{"": pinned}, nil
	}
	digests = make(map[string]string, len(entry.Policies))
	for name, member := range entry.Policies {
		digests[name] = member.ModuleDigest
	}
	return digests, nil
}
