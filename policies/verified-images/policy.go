package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/image"
)

// object is a JSON object of which only some members are known. Numbers in it stay as they were
// written.
type object = map[string]any

// lists are where containers are in the specification of a Pod.
var lists = []string{"initContainers", "containers", "ephemeralContainers"}

func validateSettings(raw json.RawMessage) error {
	_, err := decodeSettings(raw)
	return err
}

func validate(request guest.Request) (guest.Response, error) {
	config, err := decodeSettings(request.Settings)
	if err != nil {
		return guest.Response{}, fmt.Errorf("invalid settings: %w", err)
	}
	path := request.PodSpecPath()
	if path == nil {
		return guest.Accept(), nil
	}
	whole, containers, err := containersOf(request.Object, path)
	if err != nil {
		return guest.Response{}, fmt.Errorf("decode %s: %w", request.Kind.Kind, err)
	}
	known, err := knownImages(request, path)
	if err != nil {
		return guest.Response{}, fmt.Errorf("decode %s: oldObject: %w", request.Kind.Kind, err)
	}
	verifier := verifier{config: config, request: request, known: known}
	var reasons []string
	changed := false
	for _, container := range containers {
		name, _ := container["image"].(string)
		if name == "" {
			continue // an API server refuses it, or a controller is to fill it in, and another request tells
		}
		verdict := verifier.verify(name)
		if verdict.err != nil {
			reasons = append(reasons, fmt.Sprintf("container %q: image %q is not verified: %v", container["name"], name, verdict.err))
			continue
		}
		if rest, pinned := image.WithoutDigest(name); config.Pin && pinned == "" && verdict.digest != "" {
			container["image"] = rest + "@" + verdict.digest
			changed = true
		}
	}
	switch {
	case len(reasons) > 0:
		return guest.Reject(strings.Join(reasons, "; ")), nil
	case !changed:
		return guest.Accept(), nil
	}
	mutated, err := json.Marshal(whole)
	if err != nil {
		return guest.Response{}, fmt.Errorf("encode %s: %w", request.Kind.Kind, err)
	}
	return guest.Mutate(mutated), nil
}

// knownImages are images that an update does not bring: they were judged before, or are older
// than the policy. What has to be changed of such an object, also by those who clean up after
// it, must not depend on keys and registries of today.
func knownImages(request guest.Request, path []string) (map[string]verdict, error) {
	known := map[string]verdict{}
	if request.Operation != "UPDATE" {
		return known, nil
	}
	before, err := guest.Member(request.Document, "oldObject")
	if err != nil {
		return nil, err
	}
	_, containers, err := containersOf(before, path)
	if err != nil {
		return nil, err
	}
	for _, container := range containers {
		if name, is := container["image"].(string); is {
			known[name] = verdict{}
		}
	}
	return known, nil
}

// containersOf decodes an object and gives its containers of all kinds, which are parts of it.
func containersOf(raw json.RawMessage, path []string) (whole object, containers []object, err error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&whole); err != nil {
		return nil, nil, err
	}
	spec := whole
	for _, key := range path {
		next, is := spec[key].(object)
		if !is && spec[key] != nil {
			return nil, nil, fmt.Errorf("%s is not an object", key)
		}
		spec = next
	}
	for _, list := range lists {
		items, is := spec[list].([]any)
		if !is && spec[list] != nil {
			return nil, nil, fmt.Errorf("%s is not a list", list)
		}
		for i, item := range items {
			container, is := item.(object)
			if !is {
				return nil, nil, fmt.Errorf("%s[%d] is not an object", list, i)
			}
			if _, is := container["image"].(string); !is && container["image"] != nil {
				return nil, nil, fmt.Errorf("%s[%d].image is not a text", list, i)
			}
			containers = append(containers, container)
		}
	}
	return whole, containers, nil
}
