package policy

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kubewarden/kubewarden-operator/controllers/configured"
	"github.com/kubewarden/kubewarden-operator/controllers/index"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// queue is the queue of a reconciler.
type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// configMapHandler leads from what a server's replicas report, and from what was written for
// them, to its policies. One that comes or goes concerns all of them; a change concerns those
// of which it says something else. Were it all, a change of one policy, which both ConfigMaps
// tell of several times, would be as much work as there are policies on its server.
func (r *Reconciler) configMapHandler() handler.EventHandler {
	every := handler.EnqueueRequestsFromMapFunc(r.policiesForConfigMap)
	return handler.Funcs{
		CreateFunc:  every.Create,
		DeleteFunc:  every.Delete,
		GenericFunc: every.Generic,
		UpdateFunc: func(ctx context.Context, update event.UpdateEvent, queue queue) {
			before, isOne := update.ObjectOld.(*corev1.ConfigMap)
			after, isOther := update.ObjectNew.(*corev1.ConfigMap)
			if !isOne || !isOther || before.UID != after.UID || serverTold(before) != serverTold(after) {
				every.Update(ctx, update, queue)
				return
			}
			ids, all := r.changed(before, after)
			if all {
				every.Update(ctx, update, queue)
				return
			}
			for _, request := range r.requestsFor(ids) {
				queue.Add(request)
			}
		},
	}
}

// serverTold is the PolicyServer of whose policies a ConfigMap tells; "" when it tells of none.
func serverTold(configMap client.Object) string {
	server := configMap.GetLabels()[render.LabelPolicyServer]
	switch configMap.GetName() {
	case contract.ConfigMapName(server), contract.ReportConfigMapName(server):
		return server
	default:
		return ""
	}
}

// changed are the IDs of the policies of which a ConfigMap says something else than before.
// all says that it may be any policy of the server.
func (r *Reconciler) changed(before, after *corev1.ConfigMap) (ids []string, all bool) {
	switch server := serverTold(after); {
	case server == "":
		return nil, false
	case after.Name == contract.ReportConfigMapName(server):
		was, _ := r.Reports.Decode(before)
		now, _ := r.Reports.Decode(after)
		return replicas.Changed(was, now)
	default:
		// What cannot be read says nothing, here as in a reconcile.
		was, _ := r.Configured.Decode(before)
		now, _ := r.Configured.Decode(after)
		return configured.Changed(was, now), false
	}
}

// requestsFor are for those of some policies that are of the reconciler's kind.
func (r *Reconciler) requestsFor(ids []string) []reconcile.Request {
	var requests []reconcile.Request
	for _, id := range ids {
		if namespace, name, ok := render.PolicyOf(r.kind.New(), id); ok {
			requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}})
		}
	}
	return requests
}

// policiesForConfigMap are all policies of the server of which a ConfigMap tells.
func (r *Reconciler) policiesForConfigMap(ctx context.Context, configMap client.Object) []reconcile.Request {
	server := serverTold(configMap)
	if server == "" {
		return nil
	}
	return r.requests(ctx, index.BoundTo(server))
}
