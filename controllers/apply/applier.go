package apply

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// FieldOwner is the field manager of every write.
const FieldOwner = "kubewarden-operator"

// Config is what an Applier works with.
type Config struct {
	// Client reads from the caches of the manager and writes.
	Client client.Client
	// Uncached reads from the API server. It is asked only about objects that the caches
	// do not hold: a cache narrowed by labels cannot see what others made.
	Uncached client.Reader
}

// Applier writes rendered objects. It is safe for concurrent use, and one Applier serves
// all reconcilers, because it remembers what it wrote.
type Applier struct {
	client   client.Client
	uncached client.Reader
	memory   *memory
}

// NewApplier returns an Applier that has written nothing yet.
func NewApplier(config Config) *Applier {
	return &Applier{client: config.Client, uncached: config.Uncached, memory: newMemory()}
}

// Apply makes the objects be as they are rendered, each controlled by owner; a nil owner
// means none, for objects that owner references cannot reach. Fields that were rendered
// once and are no longer are removed; fields that others set are left alone, except in
// webhook configurations, where an addition would change what is guarded, in ConfigMaps with
// data of ours, and in the ports of Services.
//
// When neither an object nor what is wanted of it changed since it was last written, no
// request is made. An object that upstream's controller or charts made is taken over with all
// their fields. Any other that exists and is not ours is refused with a *ForeignError.
// One refusal or failure does not keep the other objects from being written; the errors
// are joined.
func (a *Applier) Apply(ctx context.Context, owner client.Object, objects ...render.Object) error {
	var failures []error
	for _, object := range objects {
		if err := a.applyOne(ctx, owner, object); err != nil {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

func (a *Applier) applyOne(ctx context.Context, owner client.Object, object render.Object) error {
	wanted, err := newWanted(a.client.Scheme(), owner, object)
	if err != nil {
		return fmt.Errorf("prepare %T %s: %w", object, client.ObjectKeyFromObject(object), err)
	}
	live, err := a.read(ctx, wanted.gvk, client.ObjectKeyFromObject(object))
	if err != nil {
		return fmt.Errorf("read %s: %w", wanted, err)
	}
	if live != nil {
		if err := checkReplaceable(wanted, live, owner); err != nil {
			return err
		}
		if unchanged, err := a.memory.unchanged(wanted, live); err != nil || unchanged {
			return err
		}
		if err := a.prepare(ctx, wanted, live); err != nil {
			return fmt.Errorf("apply %s: %w", wanted, err)
		}
	}
	written, err := a.write(ctx, wanted)
	if err != nil {
		return fmt.Errorf("apply %s: %w", wanted, err)
	}
	return a.memory.remember(wanted, written)
}

// prepare takes out of a live object what would be in the way of an apply.
func (a *Applier) prepare(ctx context.Context, wanted *wanted, live client.Object) error {
	if err := a.takeOver(ctx, wanted, live); err != nil {
		return err
	}
	if err := a.handOver(ctx, wanted, live); err != nil {
		return err
	}
	if err := a.freeNames(ctx, wanted, live); err != nil {
		return err
	}
	// The write must reach the very object that was looked at, not a successor.
	wanted.object.SetUID(live.GetUID())
	return nil
}

// read returns the live object, or nil when there is none.
func (a *Applier) read(ctx context.Context, gvk schema.GroupVersionKind, key client.ObjectKey) (client.Object, error) {
	return a.readFrom(ctx, []client.Reader{a.client, a.uncached}, gvk, key)
}

// readFrom asks one reader after the other until one has the object.
func (a *Applier) readFrom(ctx context.Context, readers []client.Reader, gvk schema.GroupVersionKind, key client.ObjectKey) (client.Object, error) {
	for _, reader := range readers {
		live, err := newObject(a.client.Scheme(), gvk)
		if err != nil {
			return nil, err
		}
		err = reader.Get(ctx, key, live)
		if err == nil {
			return live, nil
		}
		if !apierrors.IsNotFound(err) {
			return nil, err
		}
	}
	return nil, nil
}

// write applies and returns the object as the API server holds it now.
func (a *Applier) write(ctx context.Context, wanted *wanted) (client.Object, error) {
	reply := wanted.object.DeepCopy()
	configuration := client.ApplyConfigurationFromUnstructured(reply)
	if err := a.client.Apply(ctx, configuration, client.FieldOwner(FieldOwner), client.ForceOwnership); err != nil {
		return nil, err
	}
	if err := a.removeAdditions(ctx, wanted, reply); err != nil {
		return nil, err
	}
	if err := a.removeDataAdditions(ctx, wanted, reply); err != nil {
		return nil, err
	}
	if err := a.removePorts(ctx, wanted, reply); err != nil {
		return nil, err
	}
	written, err := newObject(a.client.Scheme(), wanted.gvk)
	if err != nil {
		return nil, err
	}
	if untyped, is := written.(*unstructured.Unstructured); is {
		untyped.Object = reply.Object
		return untyped, nil
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(reply.Object, written); err != nil {
		return nil, fmt.Errorf("convert the reply: %w", err)
	}
	return written, nil
}

// newObject is an empty object of a kind, one without a type of its own when the scheme does
// not know the kind.
func newObject(scheme *runtime.Scheme, gvk schema.GroupVersionKind) (client.Object, error) {
	if !scheme.Recognizes(gvk) {
		untyped := &unstructured.Unstructured{}
		untyped.SetGroupVersionKind(gvk)
		return untyped, nil
	}
	made, err := scheme.New(gvk)
	if err != nil {
		return nil, err
	}
	object, ok := made.(client.Object)
	if !ok {
		return nil, fmt.Errorf("%s has no metadata", gvk.Kind)
	}
	return object, nil
}

// wanted is a rendered object in the form that is sent.
type wanted struct {
	gvk    schema.GroupVersionKind
	object *unstructured.Unstructured
}

func newWanted(scheme *runtime.Scheme, owner client.Object, object render.Object) (*wanted, error) {
	gvk, err := apiutil.GVKForObject(object, scheme)
	if err != nil {
		return nil, err
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, err
	}
	sent := &unstructured.Unstructured{Object: content}
	sent.SetGroupVersionKind(gvk)
	// Typed objects carry an empty status and nulls that nobody rendered.
	unstructured.RemoveNestedField(content, "status")
	dropNulls(content)
	if owner != nil {
		reference, err := ownerReference(scheme, owner)
		if err != nil {
			return nil, err
		}
		sent.SetOwnerReferences(append(sent.GetOwnerReferences(), reference))
	}
	return &wanted{gvk: gvk, object: sent}, nil
}

func (w *wanted) String() string { return objectName(w.gvk, w.object) }

// dropNulls removes every null. To own a null would be to forbid others the field.
func dropNulls(content map[string]any) {
	for key, value := range content {
		switch value := value.(type) {
		case nil:
			delete(content, key)
		case map[string]any:
			dropNulls(value)
		case []any:
			for _, item := range value {
				if fields, ok := item.(map[string]any); ok {
					dropNulls(fields)
				}
			}
		}
	}
}
