package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
	"github.com/kubewarden/kubewarden-operator/policies/guest/label"
)

// defaultAnnotation is where a Namespace says what it demands.
const defaultAnnotation = "required-labels.kubewarden.io/keys"

type settings struct {
	// Annotation of Namespaces lists keys of labels, separated by commas.
	Annotation string
}

func decodeSettings(raw document.Value) (settings, error) {
	decoded := settings{Annotation: defaultAnnotation}
	if err := guest.DecodeSettings(raw, guest.Setting{Name: "annotation", Into: &decoded.Annotation}); err != nil {
		return settings{}, err
	}
	if err := label.CheckKey("an annotation", decoded.Annotation); err != nil {
		return settings{}, fmt.Errorf(`setting "annotation": %w`, err)
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
	spec := request.PodSpecPath()
	if spec == nil {
		return guest.Accept(), nil
	}
	namespace, err := request.Document.Text("namespace")
	if err != nil {
		return guest.Response{}, err
	}
	demanded, err := config.demandedBy(request, namespace)
	if err != nil {
		return guest.Response{}, err
	}
	for _, key := range demanded {
		if err := label.CheckKey("a label", key); err != nil {
			return guest.Reject(fmt.Sprintf("annotation %s of Namespace %q: %v", config.Annotation, namespace, err)), nil
		}
	}
	missing, err := missingFrom(request, spec[:len(spec)-1], demanded)
	if err != nil {
		return guest.Response{}, fmt.Errorf("decode %s: %w", request.Kind.Kind, err)
	}
	if len(missing) == 0 {
		return guest.Accept(), nil
	}
	return guest.Reject(fmt.Sprintf("Namespace %q demands of Pods the labels that are missing: %s", namespace, strings.Join(missing, ", "))), nil
}

// demandedBy are the keys that a Namespace lists, sorted, each once. An answer of the host may be
// some seconds old.
func (s settings) demandedBy(request guest.Request, namespace string) ([]string, error) {
	question := document.AppendText([]byte(`{"api_version":"v1","kind":"Namespace","name":`), namespace)
	question = append(question, `,"disable_cache":false,"field_masks":["metadata.annotations"]}`...)
	found, err := request.Ask("kubernetes", "get_resource", question)
	if err != nil {
		return nil, fmt.Errorf("read Namespace %q: %w", namespace, err)
	}
	list, err := found.Text("metadata", "annotations", s.Annotation)
	if err != nil {
		return nil, fmt.Errorf("read Namespace %q: %w", namespace, err)
	}
	var keys []string
	for key := range strings.SplitSeq(list, ",") {
		if key = strings.TrimSpace(key); key != "" {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil
}

// missingFrom are the keys that the Pod at a path of the object lacks. What it lacked before an
// update, too, is not missing: otherwise nothing could be changed of Pods that are older than the
// demand, not even by those that clean up after them.
func missingFrom(request guest.Request, pod, demanded []string) ([]string, error) {
	path := slices.Concat(pod, []string{"metadata", "labels"})
	has, err := request.Object.TextMap(path...)
	if err != nil {
		return nil, err
	}
	had := map[string]string{}
	if request.Operation == "UPDATE" {
		before, err := request.Document.Get("oldObject")
		if err != nil {
			return nil, err
		}
		if had, err = before.TextMap(path...); err != nil {
			return nil, document.In(err, "oldObject")
		}
	}
	var missing []string
	for _, key := range demanded {
		_, kept := has[key]
		_, known := had[key]
		if !kept && (known || request.Operation != "UPDATE") {
			missing = append(missing, key)
		}
	}
	return missing, nil
}
