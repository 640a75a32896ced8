package resource

import (
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// AddFinalizer puts a finalizer on an object that lacks it. The write fails when the
// object changed since it was read, so that two finalizers never overwrite each other.
func AddFinalizer(ctx context.Context, writer client.Writer, object client.Object, finalizer string) error {
	if controllerutil.ContainsFinalizer(object, finalizer) {
		return nil
	}
	return patchFinalizers(ctx, writer, object, append(slices.Clone(object.GetFinalizers()), finalizer))
}

// RemoveFinalizers takes finalizers off an object. An object that is gone has none.
func RemoveFinalizers(ctx context.Context, writer client.Writer, object client.Object, finalizers ...string) error {
	kept := slices.DeleteFunc(slices.Clone(object.GetFinalizers()), func(finalizer string) bool {
		return slices.Contains(finalizers, finalizer)
	})
	if len(kept) == len(object.GetFinalizers()) {
		return nil
	}
	return client.IgnoreNotFound(patchFinalizers(ctx, writer, object, kept))
}

// patchFinalizers writes to a copy: the reply would undo what the reconciler has changed
// in the status and not written yet.
func patchFinalizers(ctx context.Context, writer client.Writer, object client.Object, finalizers []string) error {
	changed, ok := object.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("copy %T: the copy has no metadata", object)
	}
	changed.SetFinalizers(finalizers)
	patch := client.MergeFromWithOptions(object, client.MergeFromWithOptimisticLock{})
	if err := writer.Patch(ctx, changed, patch); err != nil {
		return fmt.Errorf("patch finalizers of %T %s: %w", object, client.ObjectKeyFromObject(object), err)
	}
	object.SetFinalizers(changed.GetFinalizers())
	object.SetResourceVersion(changed.GetResourceVersion())
	return nil
}
