package guest

import (
	"fmt"
	"slices"

	"github.com/kubewarden/kubewarden-operator/policies/guest/document"
)

// builtinGroups are the API groups whose kinds are meant: a custom resource may be called
// Job as well and look like nothing we know.
var builtinGroups = []string{"", "apps", "batch", "extensions"}

// PodSpecPath is where the request's object keeps the specification of its Pods; nil for
// kinds that run none, and for requests without an object.
func (r Request) PodSpecPath() []string {
	if !r.Object.Exists() || !slices.Contains(builtinGroups, r.Kind.Group) {
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

// EachContainer calls a function for each container of the Pods that the request's object runs,
// with the name of the list in which it stands, until the function fails. It calls none where
// there is no specification of Pods. The error says what of which kind it is about.
func (r Request) EachContainer(do func(list string, container document.Value) error) error {
	path := r.PodSpecPath()
	if path == nil {
		return nil
	}
	if err := EachContainer(r.Object, path, do); err != nil {
		return fmt.Errorf("decode %s: %w", r.Kind.Kind, err)
	}
	return nil
}

// EachContainer is that of a Request for any object that has a specification of Pods at a path.
func EachContainer(object document.Value, path []string, do func(list string, container document.Value) error) error {
	spec, err := object.Get(path...)
	if err != nil || !spec.Exists() {
		return err
	}
	if !spec.IsObject() {
		return document.In(spec.Wrong("an object"), path...)
	}
	lists, err := spec.Members(containerLists...)
	if err != nil {
		return err
	}
	for i, name := range containerLists {
		containers, err := lists[i].List()
		if err != nil {
			return document.In(err, name)
		}
		for k, container := range containers {
			if err := do(name, container); err != nil {
				return document.In(document.At(err, k), name)
			}
		}
	}
	return nil
}
