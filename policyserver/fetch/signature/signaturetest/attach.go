package signaturetest

import (
	"encoding/json"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/signature"
)

// Payload is what cosign signs of the artefact of a digest ("sha256:" and hex digits), with
// annotations that are signed as well; nil for none.
func Payload(digest string, annotations map[string]string) ([]byte, error) {
	return json.Marshal(map[string]any{
		"critical": map[string]any{
			"type":  "cosign container image signature",
			"image": map[string]string{"docker-manifest-digest": digest},
		},
		"optional": annotations,
	})
}

// Attach pushes signatures of an artefact beside it, in the place of those that are there. Each
// is a layer with the payload, and what annotates it is the signature.
func Attach(to name.Digest, payload []byte, signatures []map[string]string, options ...remote.Option) error {
	image := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	for _, annotations := range signatures {
		var err error
		image, err = mutate.Append(image, mutate.Addendum{Layer: static.NewLayer(payload, signature.MediaType), Annotations: annotations})
		if err != nil {
			return fmt.Errorf("attach signature of %s: %w", to, err)
		}
	}
	return remote.Write(to.Context().Tag(signature.Tag(to.DigestStr())), image, options...)
}
