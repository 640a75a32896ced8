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

// PatchStatus writes the status of an object if it differs from that of the original.
// cause is the error that the reconcile ends with, or nil; the result is the error to
// return from it. An object that is gone needs no status.
func PatchStatus(ctx context.Context, c client.StatusClient, original, changed client.Object, cause error) error {
	// A finalizer may have been written meanwhile; only the status is compared.
	original.SetFinalizers(changed.GetFinalizers())
	original.SetResourceVersion(changed.GetResourceVersion())
	patch := client.MergeFrom(original)
	data, err := patch.Data(changed)
	if err != nil {
		return errors.Join(cause, fmt.Errorf("compare the status of %T %s: %w", changed, changed.GetName(), err))
	}
	if string(data) == "{}" {
		return cause
	}
	err = c.Status().Patch(ctx, changed, client.RawPatch(patch.Type(), data))
	if err == nil || apierrors.IsNotFound(err) {
		return cause
	}
	err = fmt.Errorf("patch the status of %T %s: %w", changed, changed.GetName(), err)
	if errors.Is(cause, reconcile.TerminalError(nil)) {
		// A terminal error is not tried again, not even as a part of a joined one; the
		// patch has to be.
		ctrl.LoggerFrom(ctx).Error(cause, "Reconcile failed for good")
		return err
	}
	return errors.Join(cause, err)
}
