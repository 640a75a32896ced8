package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
)

// settings have the names that users know from upstream's label policies.
type settings struct {
	// Mandatory labels have to be there, with any value.
	Mandatory []string `json:"mandatory_labels"`
	// Denied labels must not be there.
	Denied []string `json:"denied_labels"`
	// Constrained labels have, where they are there, a value that matches.
	Constrained map[string]string `json:"constrained_labels"`

	patterns map[string]*regexp.Regexp
}

func decodeSettings(raw json.RawMessage) (settings, error) {
	var decoded settings
	if err := guest.DecodeSettings(raw, &decoded, "mandatory_labels", "denied_labels", "constrained_labels"); err != nil {
		return settings{}, err
	}
	if err := decoded.check(); err != nil {
		return settings{}, err
	}
	return decoded, nil
}

func (s *settings) check() error {
	if err := checkKeys("mandatory_labels", s.Mandatory); err != nil {
		return err
	}
	if err := checkKeys("denied_labels", s.Denied); err != nil {
		return err
	}
	s.patterns = make(map[string]*regexp.Regexp, len(s.Constrained))
	for _, key := range sortedKeys(s.Constrained) {
		if err := checkKey("constrained_labels", key); err != nil {
			return err
		}
		pattern, err := regexp.Compile(s.Constrained[key])
		if err != nil {
			return fmt.Errorf("constrained_labels[%q]: %q is not a regular expression: %w", key, s.Constrained[key], err)
		}
		s.patterns[key] = pattern
	}
	for _, key := range s.Denied {
		if slices.Contains(s.Mandatory, key) {
			return fmt.Errorf("label %q is in mandatory_labels and in denied_labels: no object could satisfy both", key)
		}
		if _, constrained := s.Constrained[key]; constrained {
			return fmt.Errorf("label %q is in constrained_labels and in denied_labels: no value could satisfy both", key)
		}
	}
	return nil
}

func checkKeys(field string, keys []string) error {
	for i, key := range keys {
		if err := checkKey(fmt.Sprintf("%s[%d]", field, i), key); err != nil {
			return err
		}
		if slices.Contains(keys[:i], key) {
			return fmt.Errorf("%s[%d]: label %q is listed twice", field, i, key)
		}
	}
	return nil
}

// A label's key is a name of at most 63 characters behind an optional DNS subdomain of at
// most 253 and a slash (Kubernetes: labels and selectors, syntax and character set).
var (
	labelName   = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
	labelPrefix = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
)

func checkKey(field, key string) error {
	prefix, name, prefixed := strings.Cut(key, "/")
	if !prefixed {
		prefix, name = "", key
	}
	if prefixed && (len(prefix) > 253 || !labelPrefix.MatchString(prefix)) || !labelName.MatchString(name) {
		return fmt.Errorf("%s: %q is not the key of a label: want a name of at most 63 letters, digits, '-', '_' and '.', "+
			"which may follow a DNS subdomain and '/'", field, key)
	}
	return nil
}

func sortedKeys(of map[string]string) []string {
	keys := make([]string, 0, len(of))
	for key := range of {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
