package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
)

// maxReference bounds a reference. The longest that registries take, with a tag and a digest,
// has some 500 bytes.
const maxReference = 1024

// digestAnswer is the answer of v1/manifest_digest.
type digestAnswer struct {
	Digest string `json:"digest"`
}

// imageAnswer is the answer of v1/oci_manifest_config.
type imageAnswer struct {
	Manifest json.RawMessage `json:"manifest"`
	Digest   string          `json:"digest"`
	Config   json.RawMessage `json:"config"`
}

// about reads a payload that is a reference, as a text in JSON.
func about(ask func(ctx context.Context, registries Registries, reference string) (any, error)) func(payload []byte) (question, error) {
	return func(payload []byte) (question, error) {
		reference, err := decodeReference(payload)
		if err != nil {
			return question{}, err
		}
		return question{key: reference, ask: func(ctx context.Context, registries Registries, _ time.Time) (any, error) {
			return ask(ctx, registries, reference)
		}}, nil
	}
}

func digestOf(ctx context.Context, registries Registries, reference string) (any, error) {
	digest, err := registries.Digest(ctx, reference)
	return digestAnswer{digest}, err
}

func manifestOf(ctx context.Context, registries Registries, reference string) (any, error) {
	return registries.Manifest(ctx, reference)
}

func imageOf(ctx context.Context, registries Registries, reference string) (any, error) {
	image, err := registries.Image(ctx, reference)
	return imageAnswer{Manifest: image.Manifest, Digest: image.Digest, Config: image.Config}, err
}

// decodeReference reads the payload. The error is for the guest.
func decodeReference(payload []byte) (string, error) {
	const want = "want a reference to an image, as a text in JSON"
	if !bytes.HasPrefix(bytes.TrimSpace(payload), []byte(`"`)) {
		return "", fmt.Errorf("payload is %.64q; %s", payload, want)
	}
	var text string
	if err := json.Unmarshal(payload, &text); err != nil {
		return "", fmt.Errorf("payload is %.64q: %w; %s", payload, err, want)
	}
	return parseReference("image", text)
}

// parseReference gives a reference in full: the registry and tag that are understood are
// written down, so that one image has one name.
func parseReference(field, text string) (string, error) {
	if len(text) > maxReference {
		return "", fmt.Errorf("%s has %d bytes, at most %d are allowed", field, len(text), maxReference)
	}
	parsed, err := name.ParseReference(text)
	if err == nil && strings.Contains(text, "://") {
		err = errors.New("it has a scheme")
	}
	if err != nil {
		return "", fmt.Errorf("%s is %.64q: %w; allowed is [registry/]repository[:tag][@digest]", field, text, err)
	}
	return parsed.Name(), nil
}
