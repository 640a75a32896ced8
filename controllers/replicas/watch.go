package replicas

import (
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
)

// StandingChanged lets those updates of Pods pass that can change what NewSet makes of
// them. Pods come and go, and their statuses change for many other reasons.
func StandingChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(update event.UpdateEvent) bool {
		before, ok := update.ObjectOld.(*corev1.Pod)
		if !ok {
			return true
		}
		after, ok := update.ObjectNew.(*corev1.Pod)
		if !ok {
			return true
		}
		return isReady(before) != isReady(after) ||
			(before.DeletionTimestamp == nil) != (after.DeletionTimestamp == nil) ||
			!started(before).Equal(started(after))
	}}
}
