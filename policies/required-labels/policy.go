package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
)

func validateSettings(raw json.RawMessage) error {
	_, err := decodeSettings(raw)
	return err
}

func validate(request guest.Request) (guest.Response, error) {
	config, err := decodeSettings(request.Settings)
	if err != nil {
		return guest.Response{}, fmt.Errorf("invalid settings: %w", err)
	}
	if request.Object == nil {
		return guest.Accept(), nil
	}
	value, err := guest.Member(request.Object, "metadata", "labels")
	if err != nil {
		return guest.Response{}, fmt.Errorf("decode %s: %w", request.Kind.Kind, err)
	}
	var labels map[string]string
	if value != nil {
		if err := json.Unmarshal(value, &labels); err != nil {
			return guest.Response{}, fmt.Errorf("decode %s: metadata.labels: %w", request.Kind.Kind, err)
		}
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
