package resource

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Change is an object as it was read and as it has become. Only the statuses differ.
type Change struct{ Original, Changed client.Object }

// PatchStatus writes the status of an object if it differs from that of the original, and
// says whether it wrote. cause is the error that the reconcile ends with, or nil; the
// result is the error to return from it.
//
// The write is refused when the object changed since it was read: two writers of the same
// list of conditions would undo each other. That is no error, since whatever changed the
// object brings the reconciler back. An object that is gone needs no status.
func PatchStatus(ctx context.Context, c client.StatusClient, change Change, cause error) (bool, error) {
	original, changed := change.Original, change.Changed
	// A finalizer may have been written meanwhile; only the status is compared.
	before, ok := original.DeepCopyObject().(client.Object)
	if !ok {
		return false, errors.Join(cause, fmt.Errorf("copy %T: the copy has no metadata", original))
	}
	before.SetFinalizers(changed.GetFinalizers())
	before.SetResourceVersion(changed.GetResourceVersion())
	name := fmt.Sprintf("%T %s", changed, client.ObjectKeyFromObject(changed))
	data, err := client.MergeFrom(before).Data(changed)
	if err != nil {
		return false, errors.Join(cause, fmt.Errorf("compare the status of %s: %w", name, err))
	}
	if string(data) == "{}" {
		return false, cause
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	err = c.Status().Patch(ctx, changed, patch)
	switch {
	case err == nil:
		return true, cause
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return false, cause
	case errors.Is(cause, reconcile.TerminalError(nil)):
		// A terminal error is not tried again, not even as a part of a joined one; the
		// patch has to be.
		ctrl.LoggerFrom(ctx).Error(cause, "Reconcile failed for good")
		cause = nil
	}
	return false, errors.Join(cause, fmt.Errorf("patch the status of %s: %w", name, err))
}
