package main

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
)

// rejection is upstream's text; users and their tests know it.
const rejection = "Privileged container is not allowed"

type settings struct {
	SkipInitContainers      bool `json:"skip_init_containers"`
	SkipEphemeralContainers bool `json:"skip_ephemeral_containers"`
}

func decodeSettings(raw json.RawMessage) (settings, error) {
	var decoded settings
	err := guest.DecodeSettings(raw, &decoded, "skip_init_containers", "skip_ephemeral_containers")
	return decoded, err
}

func validateSettings(raw json.RawMessage) error {
	_, err := decodeSettings(raw)
	return err
}

type container struct {
	SecurityContext struct {
		Privileged bool `json:"privileged"`
	} `json:"securityContext"`
}

type podSpec struct {
	Containers          []container `json:"containers"`
	InitContainers      []container `json:"initContainers"`
	EphemeralContainers []container `json:"ephemeralContainers"`
}

type podTemplate struct {
	Spec podSpec `json:"spec"`
}

// workload holds the Pod's specification wherever a built-in kind keeps it.
type workload struct {
	Spec struct {
		podSpec
		Template    podTemplate `json:"template"`
		JobTemplate struct {
			Spec struct {
				Template podTemplate `json:"template"`
			} `json:"spec"`
		} `json:"jobTemplate"`
	} `json:"spec"`
}

// builtinGroups are the API groups whose kinds are meant: a custom resource may be called
// Job as well and look like nothing we know.
var builtinGroups = []string{"", "apps", "batch", "extensions"}

func validate(request guest.Request) (guest.Response, error) {
	config, err := decodeSettings(request.Settings)
	if err != nil {
		return guest.Response{}, fmt.Errorf("invalid settings: %w", err)
	}
	if request.Object == nil || !slices.Contains(builtinGroups, request.Kind.Group) {
		return guest.Accept(), nil
	}
	switch request.Kind.Kind {
	case "Pod", "ReplicationController", "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob":
	default:
		return guest.Accept(), nil
	}
	var object workload
	if err := json.Unmarshal(request.Object, &object); err != nil {
		return guest.Response{}, fmt.Errorf("decode %s: %w", request.Kind.Kind, err)
	}
	if object.podSpec(request.Kind.Kind).privileged(config) {
		return guest.Reject(rejection), nil
	}
	return guest.Accept(), nil
}

func (w *workload) podSpec(kind string) podSpec {
	switch kind {
	case "Pod":
		return w.Spec.podSpec
	case "CronJob":
		return w.Spec.JobTemplate.Spec.Template.Spec
	default:
		return w.Spec.Template.Spec
	}
}

func (s podSpec) privileged(config settings) bool {
	privileged := func(c container) bool { return c.SecurityContext.Privileged }
	return slices.ContainsFunc(s.Containers, privileged) ||
		!config.SkipInitContainers && slices.ContainsFunc(s.InitContainers, privileged) ||
		!config.SkipEphemeralContainers && slices.ContainsFunc(s.EphemeralContainers, privileged)
}
