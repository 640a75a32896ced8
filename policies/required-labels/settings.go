package main

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
	"github.com/kubewarden/kubewarden-operator/policies/guest/label"
)

// settings have the names that users know from upstream's label policies.
type settings struct {
	// Mandatory labels have to be there, with any value.
	Mandatory []string
	// Denied labels must not be there.
	Denied []string
	// Constrained labels have, where they are there, a value that matches.
	Constrained map[string]string

	patterns map[string]*regexp.Regexp
}

func decodeSettings(raw document.Value) (settings, error) {
	var decoded settings
	err := guest.DecodeSettings(raw,
		guest.Setting{Name: "mandatory_labels", Into: &decoded.Mandatory},
		guest.Setting{Name: "denied_labels", Into: &decoded.Denied},
		guest.Setting{Name: "constrained_labels", Into: &decoded.Constrained})
	if err != nil {
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

func checkKey(field, key string) error {
	if err := label.CheckKey("a label", key); err != nil {
		return fmt.Errorf("%s: %w", field, err)
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
