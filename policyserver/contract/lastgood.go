package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// LastGood is the last revision of a policy that every ready replica served, written down
// while the wanted one is not: a replica that cannot load the wanted one serves it. It
// carries code and settings only; whatever else counts is that of today's entry.
//
// KeyLastGood holds one for each policy that needs one, by policy ID. Upstream's servers do
// not look at that key.
type LastGood struct {
	// UID is that of the policy's custom resource. A policy that was deleted and made again
	// inherits nothing.
	UID string
	// Revision is Revision of the entry as it was served.
	Revision string
	// Module, ModuleDigest and Settings are those of a policy.
	Module       string
	ModuleDigest string
	Settings     json.RawMessage
	// Policies are the members of a group; Expression is the group's.
	Policies   map[string]LastGoodMember
	Expression string
}

// LastGoodMember is one policy of a group in a LastGood.
type LastGoodMember struct {
	Module       string          `json:"module"`
	ModuleDigest string          `json:"moduleDigest"`
	Settings     json.RawMessage `json:"settings"`
}

// lastGoodWire is a LastGood as it is written. A policy has the first block, a group the
// second.
type lastGoodWire struct {
	UID          string          `json:"uid"`
	Revision     string          `json:"revision"`
	Module       string          `json:"module,omitempty"`
	ModuleDigest string          `json:"moduleDigest,omitempty"`
	Settings     json.RawMessage `json:"settings,omitempty"`

	Policies   map[string]LastGoodMember `json:"policies,omitempty"`
	Expression string                    `json:"expression,omitempty"`
}

// NewLastGood takes code and settings from an entry as it was served. The digests of its
// modules, in full, are by the name of the member; that of a policy has the name "".
func NewLastGood(served Entry, digests map[string]string) (LastGood, error) {
	good := LastGood{UID: served.UID}
	whole := digests[""]
	if served.IsGroup() {
		whole = GroupDigest(digests)
		good.Expression, good.Policies = served.Expression, make(map[string]LastGoodMember, len(served.Policies))
		for name, member := range served.Policies {
			good.Policies[name] = LastGoodMember{Module: member.Module, ModuleDigest: digests[name], Settings: member.Settings}
		}
	} else {
		good.Module, good.ModuleDigest, good.Settings = served.Module, whole, served.Settings
	}
	var err error
	good.Revision, err = Revision(served, whole)
	return good, err
}

// Under gives the entry by which the last good revision is loaded today: its code and
// settings under the mode, rules and grants of today's entry. A member that today's entry
// has no more is granted nothing.
func (g LastGood) Under(entry Entry) Entry {
	if !entry.IsGroup() {
		entry.Module, entry.ModuleDigest, entry.Settings = g.Module, g.ModuleDigest, g.Settings
		return entry
	}
	members := make(map[string]Member, len(g.Policies))
	for name, good := range g.Policies {
		member := entry.Policies[name]
		member.Module, member.ModuleDigest, member.Settings = good.Module, good.ModuleDigest, good.Settings
		members[name] = member
	}
	entry.Policies, entry.Expression = members, g.Expression
	return entry
}

// EncodeLastGood writes last-good.yml as compact JSON with sorted IDs, so that equal content
// gives equal bytes.
func EncodeLastGood(good map[string]LastGood) ([]byte, error) {
	wire := make(map[string]lastGoodWire, len(good))
	for id, one := range good {
		encoded, err := one.wire()
		if err != nil {
			return nil, fmt.Errorf("encode the last good revision of policy %q: %w", id, err)
		}
		wire[id] = encoded
	}
	return json.Marshal(wire)
}

func (g LastGood) wire() (lastGoodWire, error) {
	wire := lastGoodWire{
		UID: g.UID, Revision: g.Revision, Module: g.Module, ModuleDigest: g.ModuleDigest, Expression: g.Expression,
	}
	var err error
	if wire.Settings, err = canonicalSettings(g.Settings); err != nil {
		return wire, err
	}
	if len(g.Policies) == 0 {
		return wire, nil
	}
	wire.Policies = make(map[string]LastGoodMember, len(g.Policies))
	for name, member := range g.Policies {
		if member.Settings, err = canonicalSettings(member.Settings); err != nil {
			return wire, fmt.Errorf("member %q: %w", name, err)
		}
		wire.Policies[name] = member
	}
	return wire, nil
}

// DecodeLastGood reads last-good.yml; nothing is an empty one. An entry that cannot be
// accepted is left out and stands in refused; the others are not touched by it.
func DecodeLastGood(data []byte) (good map[string]LastGood, refused map[string]error, err error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, nil, nil
	}
	entries, refused, err := splitMapping(data)
	if err != nil {
		return nil, nil, fmt.Errorf("decode last good revisions: %w", err)
	}
	good = make(map[string]LastGood, len(entries))
	for _, id := range slices.Sorted(maps.Keys(entries)) {
		one, err := decodeLastGood(entries[id])
		if err != nil {
			refused[id] = err
			continue
		}
		good[id] = one
	}
	return good, refused, nil
}

func decodeLastGood(raw json.RawMessage) (LastGood, error) {
	fields, err := decodeObject(raw)
	if err != nil {
		return LastGood{}, err
	}
	var good LastGood
	decoders := map[string]fieldDecoder{"uid": requiredString(&good.UID), "revision": requiredString(&good.Revision)}
	required := []string{"uid", "revision"}
	if _, isGroup := fields["policies"]; isGroup {
		required = append(required, "expression")
		decoders["expression"] = requiredString(&good.Expression)
		decoders["policies"] = func(raw json.RawMessage) (err error) {
			good.Policies, err = decodeLastGoodMembers(raw)
			return err
		}
	} else {
		required = append(required, "module", "moduleDigest")
		decoders["module"] = requiredString(&good.Module)
		decoders["moduleDigest"] = requiredDigest(&good.ModuleDigest)
		decoders["settings"] = settingsObject(&good.Settings)
	}
	return good, decodeFields(fields, decoders, required)
}

func decodeLastGoodMembers(raw json.RawMessage) (map[string]LastGoodMember, error) {
	names, err := decodeObject(raw)
	if err != nil {
		return nil, err
	}
	members := make(map[string]LastGoodMember, len(names))
	for _, name := range slices.Sorted(maps.Keys(names)) {
		fields, err := decodeObject(names[name])
		if err != nil {
			return nil, fmt.Errorf("member %q: %w", name, err)
		}
		var member LastGoodMember
		decoders := map[string]fieldDecoder{
			"module": requiredString(&member.Module), "moduleDigest": requiredDigest(&member.ModuleDigest), "settings": settingsObject(&member.Settings),
		}
		if err := decodeFields(fields, decoders, []string{"module", "moduleDigest"}); err != nil {
			return nil, fmt.Errorf("member %q: %w", name, err)
		}
		members[name] = member
	}
	return members, nil
}

// requiredDigest is digest for a module that must be pinned.
func requiredDigest(place *string) fieldDecoder {
	return func(raw json.RawMessage) error {
		if err := digest(place)(raw); err != nil {
			return err
		}
		if *place == "" {
			return errNoDigest
		}
		return nil
	}
}

var errNoDigest = errors.New("the module is not pinned by a digest")
