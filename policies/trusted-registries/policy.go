package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/image"
)

type settings struct {
	// Registries are registries ("ghcr.io") or parts of them ("ghcr.io/kubewarden").
	Registries []string `json:"registries"`
}

func decodeSettings(raw json.RawMessage) (settings, error) {
	var decoded settings
	if err := guest.DecodeSettings(raw, &decoded, "registries"); err != nil {
		return settings{}, err
	}
	if len(decoded.Registries) == 0 {
		return settings{}, errors.New(`setting "registries": got nothing, want at least one registry`)
	}
	for i, registry := range decoded.Registries {
		host, _, _ := strings.Cut(registry, "/")
		if !image.IsHost(host) || strings.HasSuffix(registry, "/") || strings.ContainsAny(registry, "@*") {
			return settings{}, fmt.Errorf("registries[%d]: got %q, want a registry such as ghcr.io or ghcr.io/kubewarden", i, registry)
		}
		if host == image.OtherDockerHub {
			decoded.Registries[i] = image.DockerHub + strings.TrimPrefix(registry, host)
		}
	}
	return decoded, nil
}

func validateSettings(raw json.RawMessage) error {
	_, err := decodeSettings(raw)
	return err
}

type container struct {
	Name  string `json:"name"`
	Image string `json:"image"`
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
	if err := request.DecodeContainers(&spec, "name", "image"); err != nil {
		return guest.Response{}, err
	}
	var reasons []string
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers, spec.EphemeralContainers) {
		if !config.trusts(c.Image) {
			reasons = append(reasons, fmt.Sprintf("container %q: image %q is not from a trusted registry", c.Name, c.Image))
		}
	}
	if len(reasons) > 0 {
		return guest.Reject(strings.Join(reasons, "; ")), nil
	}
	return guest.Accept(), nil
}

// trusts says whether an image lies below one of the registries, or is one of them.
func (s settings) trusts(reference string) bool {
	name := image.Expand(reference)
	return slices.ContainsFunc(s.Registries, func(registry string) bool {
		rest, begins := strings.CutPrefix(name, registry)
		switch {
		case !begins:
			return false
		case rest == "" || rest[0] == '/':
			return true
		default: // a tag or a digest; behind a host alone a colon begins a port, of another registry
			return strings.Contains(registry, "/") && (rest[0] == ':' || rest[0] == '@')
		}
	})
}
