package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
)

func validateSettings(raw document.Value) error {
	_, err := decodeSettings(raw)
	return err
}

func validate(request guest.Request) (guest.Response, error) {
	config, err := decodeSettings(request.Settings)
	if err != nil {
		return guest.Response{}, fmt.Errorf("invalid settings: %w", err)
	}
	if !request.Object.Exists() {
		return guest.Accept(), nil
	}
	labels, err := request.Object.TextMap("metadata", "labels")
	if err != nil {
		return guest.Response{}, fmt.Errorf("decode %s: %w", request.Kind.Kind, err)
	}
	if violations := config.violations(labels); len(violations) > 0 {
		return guest.Reject(strings.Join(violations, "; ")), nil
	}
	return guest.Accept(), nil
}

// violations are stable: missing labels, denied ones, constrained ones, each by key.
func (s settings) violations(labels map[string]string) []string {
	var found []string
	for _, key := range slices.Sorted(slices.Values(s.Mandatory)) {
		if _, present := labels[key]; !present {
			found = append(found, fmt.Sprintf("mandatory label %q is missing", key))
		}
	}
	for _, key := range slices.Sorted(slices.Values(s.Denied)) {
		if _, present := labels[key]; present {
			found = append(found, fmt.Sprintf("label %q is denied", key))
		}
	}
	for _, key := range sortedKeys(s.Constrained) {
		value, present := labels[key]
		if present && !s.patterns[key].MatchString(value) {
			found = append(found, fmt.Sprintf("label %q has value %q, which does not match %q", key, value, s.Constrained[key]))
		}
	}
	return found
}
