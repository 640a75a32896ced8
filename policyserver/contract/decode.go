package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
)

// EntryError is the reason why one entry of policies.yml was refused. It carries the
// hash of the refused content, so that a report can name what was wanted.
type EntryError struct {
	// Hash is what EntryHash is for an entry that can be read.
	Hash string
	Err  error
}

func (e *EntryError) Error() string { return e.Err.Error() }

func (e *EntryError) Unwrap() error { return e.Err }

// DecodePolicies reads policies.yml, YAML 1.2 or JSON. An entry that cannot be accepted
// is left out of the policies and stands in refused with an *EntryError; the others are
// not touched by it. The last result is for a file that is no map from IDs to entries.
//
// Scalars are those of YAML 1.2 ("on" and "yes" are strings), numbers keep every digit,
// a key that stands twice in one mapping is refused, and so is a field that this version
// does not know: serving a policy without something that was asked for is worse than not
// serving it.
func DecodePolicies(data []byte) (policies Policies, refused map[string]error, err error) {
	entries, refused, err := splitMapping(data)
	if err != nil {
		return nil, nil, fmt.Errorf("decode policies: %w", err)
	}
	policies = make(Policies, len(entries))
	for id, raw := range entries {
		entry, err := decodeEntry(id, raw)
		if err != nil {
			refused[id] = &EntryError{Hash: rawHash(raw), Err: err}
			continue
		}
		policies[id] = entry
	}
	return policies, refused, nil
}

func decodeEntry(id string, raw json.RawMessage) (Entry, error) {
	if id == "" {
		return Entry{}, errors.New("the policy ID is empty")
	}
	if strings.Contains(id, "/") {
		// Upstream's words: users search for them.
		return Entry{}, fmt.Errorf("policy name '%s' contains a '/' character", id)
	}
	fields, err := decodeObject(raw)
	if err != nil {
		return Entry{}, err
	}
	_, hasModule := fields["module"]
	_, hasPolicies := fields["policies"]
	switch {
	case hasModule && hasPolicies:
		return Entry{}, errModuleAndPolicies
	case hasModule:
		return decodePolicy(id, fields)
	case hasPolicies:
		return decodeGroup(id, fields)
	default:
		return Entry{}, errNeitherModuleNorPolicies
	}
}

func decodePolicy(id string, fields map[string]json.RawMessage) (Entry, error) {
	var entry Entry
	decoders := map[string]fieldDecoder{
		"namespacedName":        typed(&entry.NamespacedName, "an object with Namespace and Name"),
		"uid":                   optionalString(&entry.UID),
		"module":                requiredString(&entry.Module),
		"moduleDigest":          digest(&entry.ModuleDigest),
		"refresh":               optionalString(&entry.Refresh),
		"instanceMode":          instanceMode(&entry.InstanceMode, id),
		"policyMode":            mode(&entry.PolicyMode),
		"allowedToMutate":       typed(&entry.AllowedToMutate, "true, false or null"),
		"settings":              settingsObject(&entry.Settings),
		"contextAwareResources": resources(&entry.ContextAwareResources),
		"message":               optionalString(&entry.Message),
		"timeoutEvalSeconds":    seconds(&entry.TimeoutEvalSeconds),
		"hostCapabilities":      stringList(&entry.HostCapabilities),
	}
	return entry, decodeFields(fields, decoders, []string{"module"})
}

func decodeGroup(id string, fields map[string]json.RawMessage) (Entry, error) {
	var entry Entry
	decoders := map[string]fieldDecoder{
		"namespacedName": typed(&entry.NamespacedName, "an object with Namespace and Name"),
		"uid":            optionalString(&entry.UID),
		"refresh":        optionalString(&entry.Refresh),
		"instanceMode":   instanceMode(&entry.InstanceMode, id),
		"policyMode":     mode(&entry.PolicyMode),
		"expression":     requiredString(&entry.Expression),
		"message":        requiredString(&entry.Message),
		"policies": func(raw json.RawMessage) (err error) {
			entry.Policies, err = decodeMembers(id, raw)
			return err
		},
	}
	return entry, decodeFields(fields, decoders, []string{"policies", "expression", "message"})
}

func decodeMembers(id string, raw json.RawMessage) (map[string]Member, error) {
	names, err := decodeObject(raw)
	if err != nil {
		return nil, err
	}
	members := make(map[string]Member, len(names))
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if name == "" || strings.Contains(name, "/") {
			return nil, fmt.Errorf("policy group '%s' contains policies with invalid names: [%q]", id, name)
		}
		fields, err := decodeObject(names[name])
		if err != nil {
			return nil, fmt.Errorf("member %q: %w", name, err)
		}
		if members[name], err = decodeMember(fields); err != nil {
			return nil, fmt.Errorf("member %q: %w", name, err)
		}
	}
	return members, nil
}

func decodeMember(fields map[string]json.RawMessage) (Member, error) {
	var member Member
	decoders := map[string]fieldDecoder{
		"module":                requiredString(&member.Module),
		"moduleDigest":          digest(&member.ModuleDigest),
		"settings":              settingsObject(&member.Settings),
		"contextAwareResources": resources(&member.ContextAwareResources),
		"timeoutEvalSeconds":    seconds(&member.TimeoutEvalSeconds),
		"hostCapabilities":      stringList(&member.HostCapabilities),
	}
	return member, decodeFields(fields, decoders, []string{"module"})
}

// fieldDecoder reads the value of one field into the place it was made for.
type fieldDecoder func(raw json.RawMessage) error

func decodeFields(fields map[string]json.RawMessage, decoders map[string]fieldDecoder, required []string) error {
	for _, name := range required {
		if _, found := fields[name]; !found {
			return fmt.Errorf("field %q is missing", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		decode, known := decoders[name]
		if !known {
			return fmt.Errorf("unknown field %q; allowed are %s", name, strings.Join(slices.Sorted(maps.Keys(decoders)), ", "))
		}
		if err := decode(fields[name]); err != nil {
			return fmt.Errorf("field %q: %w", name, err)
		}
	}
	return nil
}

// decodeObject splits a JSON object whose keys are known to be unique.
func decodeObject(raw json.RawMessage) (map[string]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil || fields == nil {
		return nil, unexpected(raw, "an object")
	}
	return fields, nil
}

// unexpected is the error for a value of a wrong kind. Only short scalars are repeated:
// an object may be long, and settings may be confidential.
func unexpected(raw json.RawMessage, want string) error {
	got := string(bytes.TrimSpace(raw))
	switch {
	case strings.HasPrefix(got, "{"):
		got = "an object"
	case strings.HasPrefix(got, "["):
		got = "a list"
	case len(got) > 64:
		got = "a longer value"
	}
	return fmt.Errorf("got %s, want %s", got, want)
}

func isNull(raw json.RawMessage) bool { return string(bytes.TrimSpace(raw)) == "null" }

func typed[T any](place *T, want string) fieldDecoder {
	return func(raw json.RawMessage) error {
		if err := json.Unmarshal(raw, place); err != nil {
			return unexpected(raw, want)
		}
		return nil
	}
}

func optionalString(place *string) fieldDecoder { return typed(place, "a string or null") }

func requiredString(place *string) fieldDecoder {
	return func(raw json.RawMessage) error {
		if err := json.Unmarshal(raw, place); err != nil || *place == "" {
			return unexpected(raw, "a string that is not empty")
		}
		return nil
	}
}

func stringList(place *[]string) fieldDecoder {
	return func(raw json.RawMessage) error {
		if isNull(raw) || json.Unmarshal(raw, place) != nil {
			return unexpected(raw, "a list of strings")
		}
		return nil
	}
}

func mode(place *Mode) fieldDecoder {
	return func(raw json.RawMessage) error {
		err := json.Unmarshal(raw, place)
		if err != nil || (*place != ModeProtect && *place != ModeMonitor) {
			return unexpected(raw, `"protect" or "monitor"`)
		}
		return nil
	}
}

// instanceMode reads the mode of the policy with that ID.
func instanceMode(place *InstanceMode, id string) fieldDecoder {
	return func(raw json.RawMessage) error {
		allowed := InstanceModes(IsNamespacedID(id))
		err := json.Unmarshal(raw, place)
		if err != nil || *place != "" && !slices.Contains(allowed, *place) {
			return unexpected(raw, fmt.Sprintf("one of %q", allowed))
		}
		return nil
	}
}

func resources(place *[]ContextAwareResource) fieldDecoder {
	return func(raw json.RawMessage) error {
		const want = "a list of objects with apiVersion and kind"
		if isNull(raw) || json.Unmarshal(raw, place) != nil {
			return unexpected(raw, want)
		}
		for i, resource := range *place {
			if resource.APIVersion == "" || resource.Kind == "" {
				return fmt.Errorf("item %d lacks apiVersion or kind; want %s", i, want)
			}
		}
		return nil
	}
}

func seconds(place **int32) fieldDecoder {
	return func(raw json.RawMessage) error {
		err := json.Unmarshal(raw, place)
		if err != nil || (*place != nil && **place < 1) {
			return unexpected(raw, fmt.Sprintf("a whole number from 1 to %d, or null", math.MaxInt32))
		}
		return nil
	}
}

func settingsObject(place *json.RawMessage) fieldDecoder {
	return func(raw json.RawMessage) error {
		settings, err := canonicalSettings(raw)
		*place = settings
		return err
	}
}

var digestPattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

func digest(place *string) fieldDecoder {
	return func(raw json.RawMessage) error {
		err := json.Unmarshal(raw, place)
		if err != nil || (*place != "" && !digestPattern.MatchString(*place)) {
			return unexpected(raw, `"sha256:" and 64 lower-case hex digits`)
		}
		return nil
	}
}
