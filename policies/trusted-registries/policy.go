package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
	"github.com/kubewarden/kubewarden-operator/policies/guest/image"
)

type settings struct {
	// Registries are registries ("ghcr.io") or parts of them ("ghcr.io/kubewarden").
	Registries []string
}

func decodeSettings(raw document.Value) (settings, error) {
	var decoded settings
	if err := guest.DecodeSettings(raw, guest.Setting{Name: "registries", Into: &decoded.Registries}); err != nil {
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

func validateSettings(raw document.Value) error {
	_, err := decodeSettings(raw)
	return err
}

func validate(request guest.Request) (guest.Response, error) {
	config, err := decodeSettings(request.Settings)
	if err != nil {
		return guest.Response{}, fmt.Errorf("invalid settings: %w", err)
	}
	var reasons []string
	err = request.EachContainer(func(_ string, container document.Value) error {
		texts, err := container.TextsOf("name", "image")
		if err == nil && !config.trusts(texts[1]) {
			reasons = append(reasons, fmt.Sprintf("container %q: image %q is not from a trusted registry", texts[0], texts[1]))
		}
		return err
	})
	if err != nil {
		return guest.Response{}, err
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
