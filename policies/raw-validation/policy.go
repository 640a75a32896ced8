package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
)

// settings have the names of upstream's policy for raw requests.
type settings struct {
	Users, Actions, Resources []string
}

func decodeSettings(raw document.Value) (settings, error) {
	var decoded settings
	lists := []struct { // in this order: the same settings always get the same answer
		name  string
		names *[]string
	}{{"validUsers", &decoded.Users}, {"validActions", &decoded.Actions}, {"validResources", &decoded.Resources}}
	known := make([]guest.Setting, len(lists))
	for i, list := range lists {
		known[i] = guest.Setting{Name: list.name, Into: list.names}
	}
	if err := guest.DecodeSettings(raw, known...); err != nil {
		return settings{}, err
	}
	for _, list := range lists {
		if len(*list.names) == 0 {
			return settings{}, fmt.Errorf("setting %q: got nothing, want at least one name", list.name)
		}
	}
	return decoded, nil
}

func validateSettings(raw document.Value) error {
	_, err := decodeSettings(raw)
	return err
}

// deed is a request: who wants to do what with which resource.
type deed struct{ user, action, resource string }

func decodeDeed(request document.Value) (deed, error) {
	names := []string{"user", "action", "resource"}
	values, err := request.Members(names...)
	if err != nil {
		return deed{}, err
	}
	var wanted deed
	for i, text := range []*string{&wanted.user, &wanted.action, &wanted.resource} {
		if !values[i].Exists() {
			return deed{}, errors.New("want an object with user, action and resource")
		}
		if *text, err = values[i].Text(); err != nil {
			return deed{}, document.In(err, names[i])
		}
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
