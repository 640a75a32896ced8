package render

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// The API server takes a ConfigMap of up to 1 MiB. One with more would be refused whole, and
// with it every later change of every policy of the server; so single entries are refused
// before that.
const (
	// MaxEntryBytes bounds the entry of one policy in policies.yml.
	MaxEntryBytes = 128 << 10
	// maxConfigBytes bounds what a ConfigMap holds for the replicas.
	maxConfigBytes = 900 << 10
	// maxWantedBytes bounds what of that is wanted: policies.yml and sources.yml. The rest is
	// for copies of entries that served before, which come and go while changes are on their
	// way. No entry is refused for the sake of a copy, or refusals would come and go as well.
	maxWantedBytes = maxConfigBytes * 4 / 5
)

// pinBytes is what a pin adds to an entry: "moduleDigest":"sha256:<64 hex digits>" and a comma.
const pinBytes = 89

// Candidate is a policy that asks for room in policies.yml.
type Candidate struct {
	ID string
	// Namespace is that of a namespaced policy; a cluster-wide one has none.
	Namespace string
	// Created is when the custom resource was made.
	Created time.Time
	Entry   contract.Entry
}

// RefusedEntry is an entry that got no room.
type RefusedEntry struct {
	// Entry is contract.EntryHash of the entry.
	Entry string `json:"entry"`
	// Bytes is its size.
	Bytes int `json:"bytes"`
	// Room is what there is for the policies of the server together, in bytes.
	Room int `json:"room"`
}

// TooLarge says that the entry is too large for any server; else there is no room in this one.
func (r RefusedEntry) TooLarge() bool { return r.Bytes > MaxEntryBytes }

// Fitted is what Fit makes of the candidates.
type Fitted struct {
	// Policies is what policies.yml is to hold: of a policy that was refused the entry that it
	// had before, if that has room.
	Policies contract.Policies
	// Refused are the policies whose entries are not among Policies, by ID.
	Refused map[string]RefusedEntry
}

// PoliciesRoom is how many bytes policies.yml may have beside what the PolicyServer's spec
// makes of sources.yml.
func PoliciesRoom(spec policiesv1.PolicyServerSpec) (int, error) {
	encoded, err := contract.EncodeSources(sources(spec))
	if err != nil {
		return 0, fmt.Errorf("encode %s: %w", contract.KeySources, err)
	}
	return max(0, maxWantedBytes-len(encoded)), nil
}

// Fit gives the candidates room, in bytes, in policies.yml. Where there is not enough for all,
// namespaced policies are refused before cluster-wide ones; among the namespaced, those of the
// namespace that uses most; and of those, the newest. So no tenant can take room from the
// cluster's own policies, or more than others from other tenants.
//
// A policy that is refused keeps the entry that it had before, out of former, as far as there
// is room; another policy of the same name does not inherit it. An edit that does not fit must not end what is enforced. A cluster-wide policy is
// never without room while a namespaced one has some.
//
// The result depends on nothing but the arguments, and is the same when it is the next former.
func Fit(candidates []Candidate, former contract.Policies, room int) (Fitted, error) {
	sized, err := measure(candidates, former)
	if err != nil {
		return Fitted{}, err
	}
	for {
		fitted := fit(sized, room)
		settled := true
		for _, one := range sized {
			// A former entry that has lost its room will not be there the next time.
			if _, kept := fitted.Policies[one.ID]; !kept && one.former != nil {
				one.former, one.formerBytes, settled = nil, 0, false
			}
		}
		if settled {
			return fitted, name(fitted.Refused, candidates)
		}
	}
}

// sizedCandidate is a candidate with its size, and the entry that may stand for it.
type sizedCandidate struct {
	Candidate
	bytes       int
	former      *contract.Entry // nil if there is none that could be kept
	formerBytes int             // 0 until somebody asks
}

// asks is how many bytes the candidate asks for: an entry that is too large for any server
// asks for what it had before.
func (c *sizedCandidate) asks() int {
	if c.bytes <= MaxEntryBytes {
		return c.bytes
	}
	return c.formerSize()
}

// formerSize is the size of the former entry. Hardly any is ever asked for.
func (c *sizedCandidate) formerSize() int {
	if c.former == nil || c.formerBytes > 0 {
		return c.formerBytes
	}
	bytes, err := entryBytes(c.ID, *c.former)
	if err != nil || bytes > MaxEntryBytes {
		c.former = nil
		return 0
	}
	c.formerBytes = bytes
	return bytes
}

func (c *sizedCandidate) refused(room int) RefusedEntry {
	return RefusedEntry{Bytes: c.bytes, Room: room}
}

// name notes which entries were refused.
func name(refused map[string]RefusedEntry, candidates []Candidate) error {
	for _, candidate := range candidates {
		one, isRefused := refused[candidate.ID]
		if !isRefused {
			continue
		}
		var err error
		if one.Entry, err = contract.EntryHash(candidate.Entry); err != nil {
			return fmt.Errorf("hash policy %q: %w", candidate.ID, err)
		}
		refused[candidate.ID] = one
	}
	return nil
}

// measure sizes the candidates, and gives them in the order in which they are served.
func measure(candidates []Candidate, former contract.Policies) ([]*sizedCandidate, error) {
	sized := make([]*sizedCandidate, 0, len(candidates))
	for _, candidate := range candidates {
		one := &sizedCandidate{Candidate: candidate}
		var err error
		if one.bytes, err = entryBytes(candidate.ID, candidate.Entry); err != nil {
			return nil, err
		}
		if before, found := former[candidate.ID]; found && before.UID == candidate.Entry.UID {
			one.former = &before
		}
		sized = append(sized, one)
	}
	slices.SortFunc(sized, func(a, b *sizedCandidate) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID))
	})
	return sized, nil
}

// entryBytes is what an entry takes in policies.yml once its modules are pinned.
func entryBytes(id string, entry contract.Entry) (int, error) {
	encoded, err := json.Marshal(entry)
	if err != nil {
		return 0, fmt.Errorf("encode policy %q: %w", id, err)
	}
	pins := 0
	if entry.Module != "" && entry.ModuleDigest == "" {
		pins++
	}
	for _, member := range entry.Policies {
		if member.ModuleDigest == "" {
			pins++
		}
	}
	const quotesColonComma = 4
	return len(id) + quotesColonComma + len(encoded) + pins*pinBytes, nil
}

// fit is one pass of Fit over candidates that are sorted by age.
func fit(sized []*sizedCandidate, room int) Fitted {
	fitted := Fitted{Policies: contract.Policies{}, Refused: map[string]RefusedEntry{}}
	accepted, refused := shareOut(sized, room)
	left := room
	for _, one := range accepted {
		left -= one.asks()
		if one.bytes > MaxEntryBytes {
			fitted.Refused[one.ID] = one.refused(room)
			if one.former != nil {
				fitted.Policies[one.ID] = *one.former
			}
			continue
		}
		fitted.Policies[one.ID] = one.Entry
	}
	clusterWide := false
	// Whoever was refused last has the first claim on what is left.
	for _, one := range slices.Backward(refused) {
		fitted.Refused[one.ID] = one.refused(room)
		clusterWide = clusterWide || one.Namespace == ""
		size := one.formerSize()
		if clusterWide && one.Namespace != "" || one.former == nil || size > left {
			continue
		}
		fitted.Policies[one.ID] = *one.former
		left -= size
	}
	return fitted
}

// shareOut refuses candidates, one by one, until the others have room.
func shareOut(sized []*sizedCandidate, room int) (accepted, refused []*sizedCandidate) {
	const clusterWide = ""
	total, usage, byNamespace := 0, map[string]int{}, map[string][]*sizedCandidate{}
	for _, one := range sized {
		total += one.asks()
		usage[one.Namespace] += one.asks()
		byNamespace[one.Namespace] = append(byNamespace[one.Namespace], one)
	}
	for total > room {
		namespace := clusterWide
		for _, other := range slices.Sorted(maps.Keys(byNamespace)) {
			if other != clusterWide && (namespace == clusterWide || usage[other] > usage[namespace]) {
				namespace = other
			}
		}
		those := byNamespace[namespace]
		newest := those[len(those)-1]
		refused = append(refused, newest)
		total -= newest.asks()
		usage[namespace] -= newest.asks()
		if byNamespace[namespace] = those[:len(those)-1]; len(those) == 1 {
			delete(byNamespace, namespace)
		}
	}
	for _, namespace := range slices.Sorted(maps.Keys(byNamespace)) {
		accepted = append(accepted, byNamespace[namespace]...)
	}
	return accepted, refused
}
