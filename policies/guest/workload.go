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

// containerLists are where containers stand in the specification of a Pod.
var containerLists = []string{"initContainers", "containers", "ephemeralContainers"}

// Containers is the specification of the Pods that the request's object runs, with nothing in
// it but the lists of containers, and in each container nothing but the members by these names;
// beside the lists it has the others that are asked for, as they are. Whoever decodes that has
// a small part of the object to read. It is nil where there is no specification. What is no
// object or no list stays, for decoders to refuse.
func (r Request) Containers(names []string, others ...string) (json.RawMessage, error) {
	path := r.PodSpecPath()
	if path == nil {
		return nil, nil
	}
	spec, err := Member(r.Object, path...)
	if err != nil || spec == nil {
		return nil, err
	}
	inner := func(to []byte, name, value string) []byte {
		if slices.Contains(containerLists, name) {
			return narrowList(to, value, names)
		}
		return append(to, value...)
	}
	return narrow(nil, string(spec), slices.Concat(containerLists, others), inner), nil
}

// DecodeContainers decodes what Containers gives. It leaves into as it is where there is
// nothing. The error names the kind.
func (r Request) DecodeContainers(into any, names ...string) error {
	spec, err := r.Containers(names)
	if err == nil && spec != nil {
		err = json.Unmarshal(spec, into)
	}
	if err != nil {
		return fmt.Errorf("decode %s: %w", r.Kind.Kind, err)
	}
	return nil
}
