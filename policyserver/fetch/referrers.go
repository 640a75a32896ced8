package fetch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/signature"
)

// maxBundleBytes bounds one bundle. Those that are signatures have some thousand bytes.
const maxBundleBytes = 256 << 10

// signatureBundles gives the bundles that refer to the manifest of a digest, by the
// registry's list or, where it keeps none, by the tag that stands for it. A registry that
// refuses to tell has none: it can only keep a module from being verified.
func signatureBundles(repository name.Repository, digest string, options []remote.Option) ([]foundBundle, error) {
	filter := remote.WithFilter("artifactType", signature.MediaTypeBundle)
	index, err := remote.Referrers(repository.Digest(digest), append(slices.Clip(options), filter)...)
	if err != nil {
		return nil, unlessRefused(err)
	}
	listed, err := index.IndexManifest()
	if err != nil {
		return nil, refuse(contract.ReasonUnverified, "read the list of what refers to the artefact: %w", err)
	}
	// What the list says of a bundle is not signed, but can only leave one out.
	candidates := slices.DeleteFunc(slices.Clone(listed.Manifests), func(candidate v1.Descriptor) bool {
		predicate, told := candidate.Annotations[signature.AnnotationPredicate]
		return told && predicate != signature.PredicateSign
	})
	if len(candidates) > maxSignatures {
		return nil, refuse(contract.ReasonUnverified, "%d signatures refer to the artefact, allowed are %d", len(candidates), maxSignatures)
	}
	var bundles []foundBundle
	for _, candidate := range candidates {
		bundle, err := readBundle(repository, candidate.Digest.String(), options)
		if err = unlessRefused(err); err != nil {
			return nil, err
		}
		bundles = append(bundles, bundle)
	}
	return bundles, nil
}

// unlessRefused is the error unless a registry answered that something is not there, or
// not for us.
func unlessRefused(err error) error {
	if err == nil || !classify(err).Reason().Transient() {
		return nil
	}
	return err
}

// readBundle gives the bundle of an artefact that refers to another. What is in it may be
// anything: its flaw is said then, beside an error of the registry.
func readBundle(repository name.Repository, digest string, options []remote.Option) (foundBundle, error) {
	descriptor, err := remote.Get(repository.Digest(digest), options...)
	if err != nil {
		return flawed(err), err
	}
	manifest, err := v1.ParseManifest(bytes.NewReader(descriptor.Manifest))
	if err != nil {
		return flawed(err), nil
	}
	if len(manifest.Layers) != 1 || manifest.Layers[0].MediaType != signature.MediaTypeBundle {
		return flawed(fmt.Errorf("its artefact has %d layers, want 1 of type %s", len(manifest.Layers), signature.MediaTypeBundle)), nil
	}
	data, err := readSmall(repository.Digest(manifest.Layers[0].Digest.String()), maxBundleBytes, options)
	var large tooLargeError
	switch {
	case errors.As(err, &large):
		return flawed(err), nil
	case err != nil:
		return flawed(err), err
	}
	return foundBundle{Content: data}, nil
}

func flawed(why error) foundBundle { return foundBundle{Flaw: why.Error()} }

// tooLargeError is the number of bytes that something has more than.
type tooLargeError int64

func (e tooLargeError) Error() string { return fmt.Sprintf("it is larger than %d bytes", int64(e)) }

// readSmall gives the bytes of a blob that are not more than allowed.
func readSmall(digest name.Digest, allowed int64, options []remote.Option) ([]byte, error) {
	layer, err := remote.Layer(digest, options...)
	if err != nil {
		return nil, err
	}
	reader, err := layer.Compressed()
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	data, err := io.ReadAll(io.LimitReader(reader, allowed+1))
	if err == nil && int64(len(data)) > allowed {
		return nil, tooLargeError(allowed)
	}
	return data, err
}
