package guest

import (
	"encoding/json"
	"fmt"
	"slices"
)

// builtinGroups are the API groups whose kinds are meant: a custom resource may be called
// Job as well and look like nothing we know.
var builtinGroups = []string{"", "apps", "batch", "extensions"}

// PodSpecPath is where the request's object keeps the specification of its Pods; nil for
// kinds that run none, and for requests without an object.
func (r Request) PodSpecPath() []string {
	if r.Object == nil || !slices.Contains(builtinGroups, r.Kind.Group) {
		return nil
	}
	switch r.Kind.Kind {
	case "Pod":
		return []string{"spec"}
	case "CronJob":
		return []string{"spec", "jobTemplate", "spec", "template", "spec"}
	case "ReplicationController", "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job":
		return []string{"spec", "template", "spec"}
	default:
		return nil
	}
}

// DecodePodSpec decodes the specification of the Pods that the request's object runs. It
// leaves into as it is where there is none. The error names the kind.
func (r Request) DecodePodSpec(into any) error {
	path := r.PodSpecPath()
	if path == nil {
		return nil
	}
	value, err := Member(r.Object, path...)
	if err != nil {
		return fmt.Errorf("decode %s: %w", r.Kind.Kind, err)
	}
	if value == nil {
		return nil
	}
	if err := json.Unmarshal(value, into); err != nil {
		return fmt.Errorf("decode %s: %w", r.Kind.Kind, err)
	}
	return nil
}
