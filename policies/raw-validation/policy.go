package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
)

// settings have the names of upstream's policy for raw requests.
type settings struct {
	Users     []string `json:"validUsers"`
	Actions   []string `json:"validActions"`
	Resources []string `json:"validResources"`
}

func decodeSettings(raw json.RawMessage) (settings, error) {
	var decoded settings
	if err := guest.DecodeSettings(raw, &decoded, "validUsers", "validActions", "validResources"); err != nil {
		return settings{}, err
	}
	for _, list := range []struct { // in this order: the same settings always get the same answer
		name  string
		names []string
	}{{"validUsers", decoded.Users}, {"validActions", decoded.Actions}, {"validResources", decoded.Resources}} {
		if len(list.names) == 0 {
			return settings{}, fmt.Errorf("setting %q: got nothing, want at least one name", list.name)
		}
	}
	return decoded, nil
}

func validateSettings(raw json.RawMessage) error {
	_, err := decodeSettings(raw)
	return err
}

// deed is a request: who wants to do what with which resource.
type deed struct {
	User     *string `json:"user"`
	Action   *string `json:"action"`
	Resource *string `json:"resource"`
}

func validate(request guest.Request) (guest.Response, error) {
	config, err := decodeSettings(request.Settings)
	if err != nil {
		return guest.Response{}, fmt.Errorf("invalid settings: %w", err)
	}
	var wanted deed
	if err := json.Unmarshal(request.Document, &wanted); err != nil {
		return guest.Response{}, fmt.Errorf("decode request: %w", err)
	}
	if wanted.User == nil || wanted.Action == nil || wanted.Resource == nil {
		return guest.Response{}, errors.New("decode request: want an object with user, action and resource")
	}
	switch {
	case !slices.Contains(config.Users, *wanted.User):
		return guest.Reject(fmt.Sprintf("user %q is not allowed", *wanted.User)), nil
	case !slices.Contains(config.Actions, *wanted.Action):
		return guest.Reject(fmt.Sprintf("action %q is not allowed", *wanted.Action)), nil
	case !slices.Contains(config.Resources, *wanted.Resource):
		return guest.Reject(fmt.Sprintf("resource %q is not allowed", *wanted.Resource)), nil
	default:
		return guest.Accept(), nil
	}
}
