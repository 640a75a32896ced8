package contract

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// hashDigits is the length of every hash in a report: 48 bits tell the few revisions of
// one policy apart and keep a report of 500 policies small.
const hashDigits = 12

// EntryHash is a hash of an entry's content in its canonical form, 12 hex digits. The
// custom resource's name and UID are left out: they change nothing of what is served. So is
// moduleDigest: which module is served counts in Revision, and to pin the one that is
// served already must look like no change to anybody.
func EntryHash(entry Entry) (string, error) {
	raw, err := json.Marshal(entry)
	if err != nil {
		return "", fmt.Errorf("hash entry: %w", err)
	}
	return rawHash(raw), nil
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

// GroupDigest stands for the modules of a group's members together, in the place of a
// module's digest. It is made of the members' full digests, by name.
func GroupDigest(members map[string]string) string {
	var lines strings.Builder
	for _, name := range slices.Sorted(maps.Keys(members)) {
		lines.WriteString(name + " " + members[name] + "\n")
	}
	sum := sha256.Sum256([]byte(lines.String()))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// ConfigRevision is a hash of a whole policies.yml, 12 hex digits.
func ConfigRevision(policies Policies) (string, error) { return DecodedRevision(policies, nil) }

// DecodedRevision is ConfigRevision of what DecodePolicies gave: the entries that it
// refused count as well, so that reader and writer of a file get the same hash.
func DecodedRevision(policies Policies, refused map[string]error) (string, error) {
	hashes := make(map[string]string, len(policies)+len(refused))
	for id, entry := range policies {
		hash, err := EntryHash(entry)
		if err != nil {
			return "", fmt.Errorf("hash policy %q: %w", id, err)
		}
		hashes[id] = hash
	}
	for id, err := range refused {
		hashes[id] = RefusedHash(err)
	}
	lines := make([]string, 0, len(hashes))
	for _, id := range slices.Sorted(maps.Keys(hashes)) {
		lines = append(lines, id+" "+hashes[id])
	}
	return shortHash([]byte(strings.Join(lines, "\n"))), nil
}

// RefusedHash is the hash of the entry that an error of DecodePolicies is about; empty
// when the error is none of those.
func RefusedHash(err error) string {
	if refused, is := errors.AsType[*EntryError](err); is {
		return refused.Hash
	}
	return ""
}

// ShortDigest cuts a digest ("sha256:<hex>" or bare hex) to its first 12 hex digits.
func ShortDigest(digest string) string {
	digest = strings.TrimPrefix(digest, "sha256:")
	return digest[:min(len(digest), hashDigits)]
}

// ShortHash is a hash of a text, as short as every hash in a report.
func ShortHash(text string) string { return shortHash([]byte(text)) }

func shortHash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])[:hashDigits]
}

// rawHash hashes one entry of policies.yml as it was written, readable or not. Equal
// content gives equal hashes: keys are sorted, and a member that is absent, empty or at
// its default counts as absent, so that both sides agree on an entry in which only one
// of them knows a field.
func rawHash(raw json.RawMessage) string {
	value, err := decodeExact(raw)
	if err != nil {
		return shortHash(raw)
	}
	entry, isObject := value.(map[string]any)
	if !isObject {
		return shortHash(raw)
	}
	delete(entry, "namespacedName")
	delete(entry, "uid")
	delete(entry, "moduleDigest")
	if entry["policyMode"] == string(ModeProtect) {
		delete(entry, "policyMode")
	}
	if entry["instanceMode"] == string(InstancesPristine) {
		delete(entry, "instanceMode")
	}
	if members, isObject := entry["policies"].(map[string]any); isObject {
		for _, member := range members {
			if fields, isObject := member.(map[string]any); isObject {
				delete(fields, "moduleDigest")
			}
			dropEmpty(member)
		}
	}
	dropEmpty(entry)
	canonical, err := json.Marshal(entry)
	if err != nil {
		return shortHash(raw)
	}
	return shortHash(canonical)
}

// dropEmpty removes members that are null, false, "", [] or {}. What lies deeper is not
// touched: in settings, an empty list may mean something else than none.
func dropEmpty(value any) {
	object, _ := value.(map[string]any)
	maps.DeleteFunc(object, func(_ string, member any) bool {
		switch member := member.(type) {
		case nil:
			return true
		case bool:
			return !member
		case string:
			return member == ""
		case []any:
			return len(member) == 0
		case map[string]any:
			return len(member) == 0
		default:
			return false
		}
	})
}

// canonicalSettings gives settings with sorted keys and exact numbers, or nil for none.
func canonicalSettings(settings json.RawMessage) (json.RawMessage, error) {
	trimmed := bytes.TrimSpace(settings)
	if len(trimmed) == 0 || isNull(trimmed) {
		return nil, nil
	}
	if trimmed[0] != '{' {
		return nil, unexpected(trimmed, "an object or null")
	}
	value, err := decodeExact(trimmed)
	if err != nil {
		return nil, fmt.Errorf("decode settings: %w", err)
	}
	return json.Marshal(value)
}

// decodeExact decodes exactly one JSON value and keeps the text of its numbers.
func decodeExact(data []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("text after the value")
	}
	return value, nil
}
