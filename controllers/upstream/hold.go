package upstream

import (
	"context"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// lookAgain is how soon a reconciler that was held looks again. It reads from a cache.
const lookAgain = 5 * time.Second

// Hold keeps a reconciler from doing anything while upstream's controller runs: two that
// write the same objects would undo each other's work, and a finalizer that one takes off
// is the other's promise.
func (o *Observer) Hold(reconciler reconcile.Reconciler) reconcile.Reconciler {
	return reconcile.Func(func(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
		running, err := o.Running(ctx)
		if err != nil {
			return ctrl.Result{}, err
		}
		if running != "" {
			ctrl.LoggerFrom(ctx).V(1).Info("Nothing is done while upstream's controller runs", "seen", running)
			return ctrl.Result{RequeueAfter: lookAgain}, nil
		}
		return reconciler.Reconcile(ctx, request)
	})
}
