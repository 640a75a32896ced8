package main

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
)

// rejection is upstream's text; users and their tests know it.
const rejection = "Privileged container is not allowed"

type settings struct {
	SkipInitContainers      bool `json:"skip_init_containers"`
	SkipEphemeralContainers bool `json:"skip_ephemeral_containers"`
}

func decodeSettings(raw json.RawMessage) (settings, error) {
	var decoded settings
	err := guest.DecodeSettings(raw, &decoded, "skip_init_containers", "skip_ephemeral_containers")
	return decoded, err
}

func validateSettings(raw json.RawMessage) error {
	_, err := decodeSettings(raw)
	return err
}

type container struct {
	SecurityContext struct {
		Privileged bool `json:"privileged"`
	} `json:"securityContext"`
}

type podSpec struct {
	Containers          []container `json:"containers"`
	InitContainers      []container `json:"initContainers"`
	EphemeralContainers []container `json:"ephemeralContainers"`
}

func validate(request guest.Request) (guest.Response, error) {
	config, err := decodeSettings(request.Settings)
	if err != nil {
		return guest.Response{}, fmt.Errorf("invalid settings: %w", err)
	}
	var spec podSpec
	if err := request.DecodeContainers(&spec, "securityContext"); err != nil {
		return guest.Response{}, err
	}
	if spec.privileged(config) {
		return guest.Reject(rejection), nil
	}
	return guest.Accept(), nil
}

func (s podSpec) privileged(config settings) bool {
	privileged := func(c container) bool { return c.SecurityContext.Privileged }
	return slices.ContainsFunc(s.Containers, privileged) ||
		!config.SkipInitContainers && slices.ContainsFunc(s.InitContainers, privileged) ||
		!config.SkipEphemeralContainers && slices.ContainsFunc(s.EphemeralContainers, privileged)
}
