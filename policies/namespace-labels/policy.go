package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
	"github.com/kubewarden/kubewarden-operator/policies/guest/label"
)

// defaultAnnotation is where a Namespace says what it demands.
const defaultAnnotation = "required-labels.kubewarden.io/keys"

type settings struct {
	// Annotation of Namespaces lists keys of labels, separated by commas.
	Annotation string `json:"annotation"`
}

func decodeSettings(raw json.RawMessage) (settings, error) {
	decoded := settings{Annotation: defaultAnnotation}
	if err := guest.DecodeSettings(raw, &decoded, "annotation"); err != nil {
		return settings{}, err
	}
	if err := label.CheckKey("an annotation", decoded.Annotation); err != nil {
		return settings{}, fmt.Errorf(`setting "annotation": %w`, err)
	}
	return decoded, nil
}

func validateSettings(raw json.RawMessage) error {
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
	namespace, _, err := guest.Text(request.Document, "namespace")
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

// namespaceQuestion is the payload of kubernetes/get_resource.
type namespaceQuestion struct {
	APIVersion   string   `json:"api_version"`
	Kind         string   `json:"kind"`
	Name         string   `json:"name"`
	DisableCache bool     `json:"disable_cache"`
	FieldMasks   []string `json:"field_masks"`
}

// demandedBy are the keys that a Namespace lists, sorted, each once. An answer of the host may be
// some seconds old.
func (s settings) demandedBy(request guest.Request, namespace string) ([]string, error) {
	var found struct {
		Metadata struct {
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
	}
	question := namespaceQuestion{APIVersion: "v1", Kind: "Namespace", Name: namespace, FieldMasks: []string{"metadata.annotations"}}
	if err := request.Ask("kubernetes", "get_resource", question, &found); err != nil {
		return nil, fmt.Errorf("read Namespace %q: %w", namespace, err)
	}
	var keys []string
	for key := range strings.SplitSeq(found.Metadata.Annotations[s.Annotation], ",") {
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
	has, err := labelsAt(request.Object, pod)
	if err != nil {
		return nil, err
	}
	had := map[string]string{}
	if request.Operation == "UPDATE" {
		before, err := guest.Member(request.Document, "oldObject")
		if err != nil {
			return nil, err
		}
		if had, err = labelsAt(before, pod); err != nil {
			return nil, fmt.Errorf("oldObject: %w", err)
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

// labelsAt are the labels of the Pod at a path of an object.
func labelsAt(object json.RawMessage, pod []string) (map[string]string, error) {
	value, err := guest.Member(object, slices.Concat(pod, []string{"metadata", "labels"})...)
	if err != nil || value == nil {
		return nil, err
	}
	var labels map[string]string
	if err := json.Unmarshal(value, &labels); err != nil {
		return nil, fmt.Errorf("metadata.labels: %w", err)
	}
	return labels, nil
}
