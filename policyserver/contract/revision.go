package contract

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// hashDigits is the length of every hash in a report: 48 bits tell the few revisions of
// one policy apart and keep a report of 500 policies small.
const hashDigits = 12

// EntryHash is a hash of an entry's content in its canonical form, 12 hex digits. The
// custom resource's name is left out: it changes nothing of what is served.
func EntryHash(entry Entry) (string, error) {
	entry.NamespacedName = nil
	canonical, err := canonicalEntry(entry)
	if err != nil {
		return "", err
	}
	return shortHash(canonical), nil
}

// Revision is a hash of an entry and of the module that was loaded for it, 12 hex digits.
// moduleDigest is cut as ShortDigest does before it counts, so that a reader of a report
// computes the same.
func Revision(entry Entry, moduleDigest string) (string, error) {
	hash, err := EntryHash(entry)
	if err != nil {
		return "", err
	}
	return shortHash([]byte(hash + " " + ShortDigest(moduleDigest))), nil
}

// ConfigRevision is a hash of a whole policies.yml, 12 hex digits.
func ConfigRevision(policies Policies) (string, error) {
	lines := make([]string, 0, len(policies))
	for _, id := range slices.Sorted(maps.Keys(policies)) {
		hash, err := EntryHash(policies[id])
		if err != nil {
			return "", fmt.Errorf("hash policy %q: %w", id, err)
		}
		lines = append(lines, id+" "+hash)
	}
	return shortHash([]byte(strings.Join(lines, "\n"))), nil
}

// ShortDigest cuts a digest ("sha256:<hex>" or bare hex) to its first 12 hex digits.
func ShortDigest(digest string) string {
	digest = strings.TrimPrefix(digest, "sha256:")
	return digest[:min(len(digest), hashDigits)]
}

func shortHash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])[:hashDigits]
}

// canonicalEntry encodes an entry so that equal content gives equal bytes: settings are
// decoded with exact numbers and encoded again with sorted keys, and what is left out
// stands for its default.
func canonicalEntry(entry Entry) ([]byte, error) {
	var err error
	if entry.Settings, err = canonicalSettings(entry.Settings); err != nil {
		return nil, err
	}
	if entry.PolicyMode == "" {
		entry.PolicyMode = ModeProtect
	}
	if entry.AllowedToMutate == nil {
		entry.AllowedToMutate = new(bool)
	}
	members := make(map[string]Member, len(entry.Policies))
	for name, member := range entry.Policies {
		if member.Settings, err = canonicalSettings(member.Settings); err != nil {
			return nil, fmt.Errorf("member %q: %w", name, err)
		}
		members[name] = member
	}
	entry.Policies = members
	return json.Marshal(entry)
}

func canonicalSettings(settings json.RawMessage) (json.RawMessage, error) {
	if len(bytes.TrimSpace(settings)) == 0 || string(bytes.TrimSpace(settings)) == "null" {
		return json.RawMessage("{}"), nil
	}
	decoder := json.NewDecoder(bytes.NewReader(settings))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("decode settings: %w", err)
	}
	return json.Marshal(value)
}
