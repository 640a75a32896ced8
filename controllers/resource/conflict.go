package resource

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// conflictDelay is about how long a cache takes to catch up with a write.
const conflictDelay = 50 * time.Millisecond

// CalmConflicts makes a conflict what it is: a cache that was a moment late. The reconcile
// is repeated soon, and nobody is alarmed by an error in the log.
func CalmConflicts(reconciler reconcile.Reconciler) reconcile.Reconciler {
	return reconcile.Func(func(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
		result, err := reconciler.Reconcile(ctx, request)
		if apierrors.IsConflict(err) {
			ctrl.LoggerFrom(ctx).V(1).Info("Something changed while it was looked at", "conflict", err.Error())
			return ctrl.Result{RequeueAfter: conflictDelay}, nil
		}
		return result, err
	})
}
