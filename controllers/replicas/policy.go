package replicas

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Policy is how the replicas of a policy server stand to one policy. Replicas that are not
// ready get no requests: but for Total, the numbers leave them out.
type Policy struct {
	// Total is the number of replicas that do not terminate.
	Total int
	// Ready is the number of ready replicas.
	Ready int
	// Serving is the number of ready replicas that serve some revision of the policy.
	Serving int
	// Enforcing is the number of ready replicas that serve the wanted revision.
	Enforcing int
	// Refusing is the number of ready replicas that give a reason for not serving the wanted
	// revision.
	Refusing int
	// Served are the revisions that ready replicas serve: wanted ones first, then those that
	// most replicas serve. Two wanted ones mean that a tag was resolved to two modules.
	Served []Revision
	// Refusals are the reasons for which the wanted revision is not served, given by ready
	// replicas and by those that are not ready. The one that most replicas give comes first.
	Refusals []Refusal
}

// Revision is a revision of a policy that ready replicas serve.
type Revision struct {
	contract.Served
	// Wanted says that it is a revision of the wanted entry.
	Wanted bool
	// Replicas is the number of ready replicas that serve it.
	Replicas int
}

// Refusal is one reason that replicas give for not serving the wanted revision.
type Refusal struct {
	// Reason and Message are those of the report.
	Reason  contract.Reason
	Message string
	// Replicas are the names of the replicas that give it, sorted.
	Replicas []string
}

// Policy answers how the ready replicas stand to the policy of that ID and wanted entry.
// An error means that the entry has settings that are no JSON.
func (s Set) Policy(id string, wanted contract.Entry) (Policy, error) {
	hash, err := contract.EntryHash(wanted)
	if err != nil {
		return Policy{}, fmt.Errorf("hash policy %q: %w", id, err)
	}
	policy := Policy{}
	revisions := map[contract.Served]*Revision{}
	refusals := map[contract.Failure]*Refusal{}
	for _, replica := range s {
		if replica.Ready {
			policy.Ready++
		}
		if replica.Terminating {
			continue
		}
		policy.Total++
		if replica.Report == nil {
			continue
		}
		if served, ok := replica.Report.Policies[id]; ok && replica.Ready {
			enforced, err := addRevision(revisions, served, wanted)
			if err != nil {
				return Policy{}, fmt.Errorf("compute revision of policy %q: %w", id, err)
			}
			policy.Serving++
			if enforced {
				policy.Enforcing++
			}
		}
		// Failures count of replicas that are not ready too: a fresh one that this policy
		// holds back is the one that has something to say.
		if failure, ok := replica.Report.Failures[id]; ok && failure.Wanted == hash {
			addRefusal(refusals, failure, replica.Name)
			if replica.Ready {
				policy.Refusing++
			}
		}
	}
	policy.Served = sortedRevisions(revisions)
	policy.Refusals = sortedRefusals(refusals)
	return policy, nil
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
		revision = &Revision{Served: served, Wanted: served.Revision == expected}
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
