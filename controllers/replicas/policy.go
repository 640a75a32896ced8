package replicas

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Policy is how the replicas of a policy server stand to one policy. Replicas that are not
// ready get no requests: the numbers leave them out.
type Policy struct {
	// Ready is the number of ready replicas.
	Ready int
	// Serving is the number of ready replicas that serve some revision of the policy.
	Serving int
	// Enforcing is the number of ready replicas that serve the wanted revision.
	Enforcing int
	// Revision is the wanted revision as the enforcing replicas report it; empty when none
	// enforces. Replicas that resolved a tag differently report different revisions: then it
	// is the one that most report.
	Revision string
	// Refusals are the reasons for which the wanted revision is not served, given by ready
	// replicas and by those that are not ready. The one that most replicas give comes first.
	Refusals []Refusal
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
	revisions := map[string]int{}
	refusals := map[contract.Failure]*Refusal{}
	for _, replica := range s {
		if replica.Ready {
			policy.Ready++
		}
		if replica.Report == nil || replica.Terminating {
			continue
		}
		if served, ok := replica.Report.Policies[id]; ok && replica.Ready {
			policy.Serving++
			revision, err := contract.Revision(wanted, served.ModuleDigest)
			if err != nil {
				return Policy{}, fmt.Errorf("compute revision of policy %q: %w", id, err)
			}
			if served.Revision == revision {
				policy.Enforcing++
				revisions[revision]++
			}
		}
		// Failures count of replicas that are not ready too: a fresh one that this policy
		// holds back is the one that has something to say.
		if failure, ok := replica.Report.Failures[id]; ok && failure.Wanted == hash {
			addRefusal(refusals, failure, replica.Name)
		}
	}
	policy.Revision = mostReported(revisions)
	policy.Refusals = sortedRefusals(refusals)
	return policy, nil
}

// Refused is the number of replicas, ready or not, that refuse the wanted revision for
// good: trying again cannot help without a change of the policy.
func (p Policy) Refused() int {
	refused := 0
	for _, refusal := range p.Refusals {
		if !refusal.Reason.Transient() {
			refused += len(refusal.Replicas)
		}
	}
	return refused
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

func mostReported(revisions map[string]int) string {
	most := ""
	for _, revision := range slices.Sorted(maps.Keys(revisions)) {
		if revisions[revision] > revisions[most] {
			most = revision
		}
	}
	return most
}
