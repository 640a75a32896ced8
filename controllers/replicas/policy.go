package replicas

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Policy is how the replicas of a policy server stand to one policy. Replicas that are not
// ready get no requests: but for Total, the numbers leave them out.
type Policy struct {
	// Total is the number of replicas that do not terminate.
	Total int32
	// Ready is the number of ready replicas, ReadySince when the first of them became ready.
	Ready      int32
	ReadySince time.Time
	// Serving is the number of ready replicas that serve some revision of the policy.
	Serving int32
	// Enforcing is the number of ready replicas that serve the wanted revision.
	Enforcing int32
	// Refusing is the number of ready replicas that give a reason for not serving the wanted
	// revision.
	Refusing int32
	// Untold is the number of ready replicas whose reports were cut and do not tell whether
	// they serve the policy.
	Untold int32
	// Silent is the number of ready replicas that do not report: what they serve is known
	// from what they were started with.
	Silent int32
	// Lingering is the number of replicas that terminate, go on to answer, and do not serve the
	// wanted revision.
	Lingering int32
	// Served are the revisions that ready replicas serve: wanted ones first, then those that
	// most replicas serve. Two wanted ones mean that a tag was resolved to two modules.
	Served []Revision
	// Refusals are the reasons for which the wanted revision is not served, given by ready
	// replicas and by those that are not ready. The one that most replicas give comes first.
	Refusals []Refusal
	// Unreadable are the kinds that the wanted entry declares and that replicas cannot read,
	// in order, each as the first replica by name says.
	Unreadable []Unreadable
}

// Unreadable is a kind of objects that a replica cannot read for the policy.
type Unreadable struct {
	contract.Unreadable
	// Kind is UnreadableKey of it, Replica the name of the replica.
	Kind, Replica string
}

// Revision is a revision of a policy that ready replicas serve.
type Revision struct {
	contract.Served
	// Wanted says that it is a revision of the wanted entry.
	Wanted bool
	// Replicas is the number of ready replicas that serve it.
	Replicas int32
}

// Refusal is one reason that replicas give for not serving the wanted revision.
type Refusal struct {
	// Reason and Message are those of the report.
	Reason  contract.Reason
	Message string
	// Replicas are the names of the replicas that give it, sorted.
	Replicas []string
}

// Policy answers how the replicas stand to the policy of that ID and wanted entry. An error
// means that the entry has settings that are no JSON.
func (s Set) Policy(id string, wanted contract.Entry) (Policy, error) {
	hash, err := contract.EntryHash(wanted)
	if err != nil {
		return Policy{}, fmt.Errorf("hash policy %q: %w", id, err)
	}
	count := counting{
		id: id, wanted: wanted, wantedHash: hash,
		revisions: map[contract.Served]*Revision{}, refusals: map[contract.Failure]*Refusal{},
	}
	for _, replica := range s {
		if replica.Terminating && !replica.Lingering {
			continue
		}
		if err := count.add(replica); err != nil {
			return Policy{}, fmt.Errorf("compute the revision of policy %q: %w", id, err)
		}
	}
	count.policy.Unreadable = s.unreadable(wanted)
	count.policy.Served = sortedRevisions(count.revisions)
	count.policy.Refusals = sortedRefusals(count.refusals)
	return count.policy, nil
}

// unreadable is what ready replicas cannot read of what an entry declares.
func (s Set) unreadable(wanted contract.Entry) []Unreadable {
	declared := slices.Clone(wanted.ContextAwareResources)
	for _, member := range wanted.Policies {
		declared = append(declared, member.ContextAwareResources...)
	}
	first := map[string]Unreadable{}
	for _, replica := range s {
		if replica.Terminating || !replica.Ready || replica.Report == nil {
			continue
		}
		for _, resource := range declared {
			key := contract.UnreadableKey(resource.APIVersion, resource.Kind)
			told, is := replica.Report.Unreadable[key]
			if known, already := first[key]; is && (!already || replica.Name < known.Replica) {
				first[key] = Unreadable{told, key, replica.Name}
			}
		}
	}
	found := make([]Unreadable, 0, len(first))
	for _, key := range slices.Sorted(maps.Keys(first)) {
		found = append(found, first[key])
	}
	return found
}

// counting is a Policy in the making.
type counting struct {
	id         string
	wanted     contract.Entry
	wantedHash string
	policy     Policy
	revisions  map[contract.Served]*Revision
	refusals   map[contract.Failure]*Refusal
}

func (c *counting) add(replica Replica) error {
	if replica.Lingering {
		return c.addLingering(replica)
	}
	c.policy.Total++
	if replica.Ready {
		if c.policy.Ready == 0 || replica.ReadySince.Before(c.policy.ReadySince) {
			c.policy.ReadySince = replica.ReadySince
		}
		c.policy.Ready++
		if replica.Silent {
			c.policy.Silent++
		}
	}
	if replica.Report == nil {
		return nil
	}
	// Failures count of replicas that are not ready too: a fresh one that this policy holds
	// back is the one that has something to say.
	if failure, ok := replica.Report.Failures[c.id]; ok && failure.Wanted == c.wantedHash {
		addRefusal(c.refusals, failure, replica.Name)
		if replica.Ready {
			c.policy.Refusing++
		}
	}
	if !replica.Ready {
		return nil
	}
	served, ok := replica.Report.Policies[c.id]
	if !ok {
		if !replica.Report.Knows(c.id) {
			c.policy.Untold++
		}
		return nil
	}
	if !served.MayBe(c.wanted.UID) {
		return nil // of a policy that is gone and had the same name
	}
	enforced, err := addRevision(c.revisions, served, c.wanted)
	if err != nil {
		return err
	}
	c.policy.Serving++
	if enforced {
		c.policy.Enforcing++
	}
	return nil
}

func (c *counting) addLingering(replica Replica) error {
	if replica.Report != nil {
		expected, err := contract.Revision(c.wanted, "")
		if err != nil {
			return err
		}
		served := replica.Report.Policies[c.id]
		if served.Revision == expected && served.MayBe(c.wanted.UID) {
			return nil
		}
	}
	c.policy.Lingering++
	return nil
}

func addRefusal(refusals map[contract.Failure]*Refusal, failure contract.Failure, replica string) {
	refusal := refusals[failure]
	if refusal == nil {
		refusal = &Refusal{Reason: failure.Reason, Message: failure.Message}
		refusals[failure] = refusal
	}
	refusal.Replicas = append(refusal.Replicas, replica)
}

func sortedRefusals(refusals map[contract.Failure]*Refusal) []Refusal {
	sorted := make([]Refusal, 0, len(refusals))
	for _, refusal := range refusals {
		sorted = append(sorted, *refusal)
	}
	slices.SortFunc(sorted, func(a, b Refusal) int {
		return cmp.Or(
			cmp.Compare(len(b.Replicas), len(a.Replicas)),
			cmp.Compare(a.Reason, b.Reason),
			cmp.Compare(a.Message, b.Message),
		)
	})
	return sorted
}

func addRevision(revisions map[contract.Served]*Revision, served contract.Served, wanted contract.Entry) (bool, error) {
	revision := revisions[served]
	if revision == nil {
		expected, err := contract.Revision(wanted, served.ModuleDigest)
		if err != nil {
			return false, err
		}
		pinned := wanted.PinnedDigest()
		allowed := pinned == "" || served.ModuleDigest == contract.ShortDigest(pinned)
		revision = &Revision{Served: served, Wanted: served.Revision == expected && allowed}
		revisions[served] = revision
	}
	revision.Replicas++
	return revision.Wanted, nil
}

func sortedRevisions(revisions map[contract.Served]*Revision) []Revision {
	sorted := make([]Revision, 0, len(revisions))
	for _, revision := range revisions {
		sorted = append(sorted, *revision)
	}
	slices.SortFunc(sorted, func(a, b Revision) int {
		if a.Wanted != b.Wanted {
			if a.Wanted {
				return -1
			}
			return 1
		}
		return cmp.Or(
			cmp.Compare(b.Replicas, a.Replicas),
			cmp.Compare(a.Revision, b.Revision),
		)
	})
	return sorted
}
