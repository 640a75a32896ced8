package main

import (
	"fmt"
	"strings"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
	"github.com/kubewarden/kubewarden-operator/policies/guest/image"
)

func validateSettings(raw document.Value) error {
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
	known, err := knownImages(request, path)
	if err != nil {
		return guest.Response{}, fmt.Errorf("decode %s: oldObject: %w", request.Kind.Kind, err)
	}
	verifier := verifier{config: config, request: request, known: known}
	var edits document.Edits
	var reasons []string
	err = request.EachContainer(func(_ string, container document.Value) error {
		texts, err := container.TextsOf("name", "image")
		if err != nil {
			return err
		}
		name := texts[1]
		if name == "" {
			return nil // an API server refuses it, or a controller is to fill it in, and another request tells
		}
		verdict := verifier.verify(name)
		if verdict.err != nil {
			reasons = append(reasons, fmt.Sprintf("container %q: image %q is not verified: %v", texts[0], name, verdict.err))
			return nil
		}
		if rest, pinned := image.WithoutDigest(name); config.Pin && pinned == "" && verdict.digest != "" {
			return edits.Set(container, string(document.AppendText(nil, rest+"@"+verdict.digest)), "image")
		}
		return nil
	})
	switch {
	case err != nil:
		return guest.Response{}, err
	case len(reasons) > 0:
		return guest.Reject(strings.Join(reasons, "; ")), nil
	case edits.Any():
		return request.Mutate(edits), nil
	default:
		return guest.Accept(), nil
	}
}

// knownImages are images that an update does not bring: they were judged before, or are older
// than the policy. What has to be changed of such an object, also by those who clean up after
// it, must not depend on keys and registries of today.
func knownImages(request guest.Request, path []string) (map[string]verdict, error) {
	known := map[string]verdict{}
	if request.Operation != "UPDATE" {
		return known, nil
	}
	before, err := request.Document.Get("oldObject")
	if err != nil {
		return nil, err
	}
	return known, guest.EachContainer(before, path, func(_ string, container document.Value) error {
		name, err := container.Text("image")
		if err == nil {
			known[name] = verdict{}
		}
		return err
	})
}
