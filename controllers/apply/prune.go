package apply

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// Scope is where Prune looks for what is no longer rendered.
type Scope struct {
	// Owner controls what may be deleted; required. Nothing else ever is.
	Owner client.Object
	// Namespace is where its children live; empty for cluster-scoped ones.
	Namespace string
	// Labels are on all its children.
	Labels map[string]string
	// Kinds are all kinds it may have children of. A kind that the cluster does not know
	// has no objects.
	Kinds []schema.GroupVersionKind
}

// Prune deletes the children of the owner that are not among the objects to keep.
func (a *Applier) Prune(ctx context.Context, scope Scope, keep ...render.Object) error {
	kept := map[string]bool{}
	for _, object := range keep {
		gvk, err := apiutil.GVKForObject(object, a.client.Scheme())
		if err != nil {
			return fmt.Errorf("find the kind of %T: %w", object, err)
		}
		kept[objectName(gvk, object)] = true
	}
	var failures []error
	for _, gvk := range scope.Kinds {
		children, err := a.children(ctx, scope, gvk)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		for _, child := range children {
			if name := objectName(gvk, child); !kept[name] {
				failures = append(failures, a.delete(ctx, name, child))
			}
		}
	}
	return errors.Join(failures...)
}

// children lists the objects of one kind that the owner controls.
func (a *Applier) children(ctx context.Context, scope Scope, gvk schema.GroupVersionKind) ([]client.Object, error) {
	list, err := newList(a.client.Scheme(), gvk)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", gvk.Kind, err)
	}
	err = a.client.List(ctx, list, client.InNamespace(scope.Namespace), client.MatchingLabels(scope.Labels))
	if apimeta.IsNoMatchError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", gvk.Kind, err)
	}
	var children []client.Object
	err = apimeta.EachListItem(list, func(item runtime.Object) error {
		child, ok := item.(client.Object)
		if ok && controlledBy(child, scope.Owner) {
			children = append(children, child)
		}
		return nil
	})
	return children, err
}

// newList is an empty list of objects of a kind, as newObject makes them.
func newList(scheme *runtime.Scheme, gvk schema.GroupVersionKind) (client.ObjectList, error) {
	kind := gvk.GroupVersion().WithKind(gvk.Kind + "List")
	if !scheme.Recognizes(kind) {
		untyped := &unstructured.UnstructuredList{}
		untyped.SetGroupVersionKind(kind)
		return untyped, nil
	}
	made, err := scheme.New(kind)
	if err != nil {
		return nil, err
	}
	list, ok := made.(client.ObjectList)
	if !ok {
		return nil, fmt.Errorf("%T is not a list", made)
	}
	return list, nil
}

// Delete removes objects that are ours, by kind and name. One that is absent or that
// somebody else made is left alone without an error: nothing of ours stands there. After
// it returns nil no such object exists, even one that the caches do not show yet; still,
// to delete what has long been gone costs no request.
func (a *Applier) Delete(ctx context.Context, owner client.Object, objects ...render.Object) error {
	var failures []error
	for _, object := range objects {
		gvk, err := apiutil.GVKForObject(object, a.client.Scheme())
		if err != nil {
			failures = append(failures, fmt.Errorf("find the kind of %T: %w", object, err))
			continue
		}
		name := objectName(gvk, object)
		live, err := a.readWritten(ctx, gvk, object)
		if err != nil {
			failures = append(failures, fmt.Errorf("read %s: %w", name, err))
			continue
		}
		if live == nil || checkOurs(name, live, owner) != nil {
			a.memory.forget(name)
			continue
		}
		failures = append(failures, a.delete(ctx, name, live))
	}
	return errors.Join(failures...)
}

// DeleteUpstreams removes objects that upstream made, as they were seen and not as they may
// have become: what was taken over meanwhile stays.
func (a *Applier) DeleteUpstreams(ctx context.Context, objects ...client.Object) error {
	var failures []error
	for _, object := range objects {
		preconditions := client.Preconditions{UID: new(object.GetUID()), ResourceVersion: new(object.GetResourceVersion())}
		err := a.client.Delete(ctx, object, preconditions)
		if client.IgnoreNotFound(err) != nil {
			failures = append(failures, fmt.Errorf("delete %T %s of upstream: %w", object, object.GetName(), err))
		}
	}
	return errors.Join(failures...)
}

// readWritten returns the live object, or nil when there is none of ours. What was
// written before this process began is in the caches; beyond them only what this process
// wrote itself need be asked for.
func (a *Applier) readWritten(ctx context.Context, gvk schema.GroupVersionKind, object client.Object) (client.Object, error) {
	readers := []client.Reader{a.client}
	if _, written := a.memory.recall(objectName(gvk, object)); written {
		readers = append(readers, a.uncached)
	}
	return a.readFrom(ctx, readers, gvk, client.ObjectKeyFromObject(object))
}

// delete removes the very object that was looked at, not a successor of its name.
func (a *Applier) delete(ctx context.Context, name string, live client.Object) error {
	if !live.GetDeletionTimestamp().IsZero() {
		return nil
	}
	err := a.client.Delete(ctx, live, client.Preconditions{UID: new(live.GetUID())})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	a.memory.forget(name)
	return nil
}

func controlledBy(object, owner client.Object) bool {
	for _, reference := range object.GetOwnerReferences() {
		if reference.UID == owner.GetUID() && reference.Controller != nil && *reference.Controller {
			return true
		}
	}
	return false
}

// objectName names an object as messages do: its kind, namespace and name.
func objectName(gvk schema.GroupVersionKind, object client.Object) string {
	return gvk.Kind + " " + client.ObjectKeyFromObject(object).String()
}
