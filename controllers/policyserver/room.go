package policyserver

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// fit leaves out what the ConfigMap has no room for.
func (s *state) fit() error {
	for i := range s.candidates {
		s.candidates[i].Entry = s.policies[s.candidates[i].ID]
	}
	room, err := render.PoliciesRoom(s.server.Spec)
	if err != nil {
		return err
	}
	fitted, err := render.Fit(s.candidates, s.configured.Policies, room)
	if err != nil {
		return err
	}
	s.policies, s.refused = fitted.Policies, fitted.Refused
	return nil
}

// maxNamedPolicies bounds how many policies a message names.
const maxNamedPolicies = 3

// withoutRoom names policies that got no room; empty when all did.
func (s *state) withoutRoom() string {
	if len(s.refused) == 0 {
		return ""
	}
	ids := slices.Sorted(maps.Keys(s.refused))
	suffix := ""
	if len(ids) > maxNamedPolicies {
		suffix = fmt.Sprintf(" and %d more", len(ids)-maxNamedPolicies)
		ids = ids[:maxNamedPolicies]
	}
	return fmt.Sprintf("no room for %d: %s%s", len(s.refused), strings.Join(ids, ", "), suffix)
}
