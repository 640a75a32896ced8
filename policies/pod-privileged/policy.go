package main

import (
	"fmt"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
)

// rejection is upstream's text; users and their tests know it.
const rejection = "Privileged container is not allowed"

type settings struct{ skipInitContainers, skipEphemeralContainers bool }

func decodeSettings(raw document.Value) (settings, error) {
	var decoded settings
	err := guest.DecodeSettings(raw,
		guest.Setting{Name: "skip_init_containers", Into: &decoded.skipInitContainers},
		guest.Setting{Name: "skip_ephemeral_containers", Into: &decoded.skipEphemeralContainers})
	return decoded, err
}

func validateSettings(raw document.Value) error {
	_, err := decodeSettings(raw)
	return err
}

func validate(request guest.Request) (guest.Response, error) {
	config, err := decodeSettings(request.Settings)
	if err != nil {
		return guest.Response{}, fmt.Errorf("invalid settings: %w", err)
	}
	refused := false
	err = request.EachContainer(func(list string, container document.Value) error {
		privileged, err := container.Bool("securityContext", "privileged")
		refused = refused || privileged && config.looksAt(list)
		return err
	})
	switch {
	case err != nil:
		return guest.Response{}, err
	case refused:
		return guest.Reject(rejection), nil
	default:
		return guest.Accept(), nil
	}
}

func (s settings) looksAt(list string) bool {
	switch list {
	case "initContainers":
		return !s.skipInitContainers
	case "ephemeralContainers":
		return !s.skipEphemeralContainers
	default:
		return true
	}
}
