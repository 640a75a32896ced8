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
type deed struct{ user, action, resource string }

func decodeDeed(document json.RawMessage) (deed, error) {
	var wanted deed
	for _, member := range []struct {
		name  string
		value *string
	}{{"user", &wanted.user}, {"action", &wanted.action}, {"resource", &wanted.resource}} {
		text, present, err := guest.Text(document, member.name)
		if err != nil {
			return deed{}, err
		}
		if !present {
			return deed{}, errors.New("want an object with user, action and resource")
		}
		*member.value = text
	}
	return wanted, nil
}

func validate(request guest.Request) (guest.Response, error) {
	config, err := decodeSettings(request.Settings)
	if err != nil {
		return guest.Response{}, fmt.Errorf("invalid settings: %w", err)
	}
	wanted, err := decodeDeed(request.Document)
	if err != nil {
		return guest.Response{}, fmt.Errorf("decode request: %w", err)
	}
	switch {
	case !slices.Contains(config.Users, wanted.user):
		return guest.Reject(fmt.Sprintf("user %q is not allowed", wanted.user)), nil
	case !slices.Contains(config.Actions, wanted.action):
		return guest.Reject(fmt.Sprintf("action %q is not allowed", wanted.action)), nil
	case !slices.Contains(config.Resources, wanted.resource):
		return guest.Reject(fmt.Sprintf("resource %q is not allowed", wanted.resource)), nil
	default:
		return guest.Accept(), nil
	}
}
