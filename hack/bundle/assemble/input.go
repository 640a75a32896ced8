package assemble

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// Input is what a bundle is made of.
type Input struct {
	// Objects are what kustomize renders from config/manifests.
	Objects []*unstructured.Unstructured
	// Samples are examples of the operator's own kinds, at least one of each.
	Samples []*unstructured.Unstructured
	// Release tells this bundle from the next.
	Release Release
}

// Release is what differs between the bundles of two versions.
type Release struct {
	// Version is the operator's, without a v.
	Version string
	// Image takes the place of the operator's image, where it is not empty.
	Image string
	// Replaces is the version that this one follows; empty for the first.
	Replaces string
}

// Decode reads a stream of YAML documents, one object each.
func Decode(in io.Reader) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	reader := utilyaml.NewYAMLReader(bufio.NewReader(in))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read YAML document: %w", err)
		}
		object, err := decodeObject(document)
		if err != nil {
			return nil, fmt.Errorf("decode YAML document: %w", err)
		}
		if len(object.Object) == 0 {
			continue // nothing but comments
		}
		if object.GetKind() == "" || object.GetName() == "" {
			return nil, fmt.Errorf("decode YAML document: an object has kind %q and name %q; both are needed", object.GetKind(), object.GetName())
		}
		objects = append(objects, object)
	}
}

// decodeObject reads whole numbers as integers, as the API server does.
func decodeObject(document []byte) (*unstructured.Unstructured, error) {
	content, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return nil, err
	}
	object := &unstructured.Unstructured{}
	return object, json.Unmarshal(content, &object.Object)
}

// ReadSamples reads the samples of a folder, by the names of their files.
func ReadSamples(dir string) ([]*unstructured.Unstructured, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	var samples []*unstructured.Unstructured
	for _, file := range files {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		objects, err := Decode(bytes.NewReader(content))
		if err != nil {
			return nil, fmt.Errorf("sample %s: %w", file, err)
		}
		samples = append(samples, objects...)
	}
	return samples, nil
}

// convert decodes an object into its Go type and refuses fields that the type lacks.
func convert(object *unstructured.Unstructured, into any) error {
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, into, true); err != nil {
		return fmt.Errorf("decode %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	return nil
}
