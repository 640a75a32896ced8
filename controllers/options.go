package controllers

import (
	"time"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// What fails is tried again soon, then less and less often, but never less often than
// longestRetry: a user who has removed the obstacle should not have to wait.
const (
	firstRetry   = 50 * time.Millisecond
	longestRetry = 30 * time.Second
)

func options(workers int) controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: workers,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, longestRetry),
	}
}
