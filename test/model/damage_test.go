//go:build integration

package model

import (
	"context"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/test/integration/simulator"
)

// damaged is what somebody writes into an object that is not theirs. The operator is to
// remove it.
const damaged = "damaged"

func podNamed(name string) *corev1.Pod { return child(&corev1.Pod{}, name) }

func child[T client.Object](object T, name string) T {
	object.SetNamespace(simulator.Namespace)
	object.SetName(name)
	return object
}

// children are what a PolicyServer has, in the order in which values name them.
func children(server string) []client.Object {
	name := contract.ConfigMapName(server)
	return []client.Object{
		child(&corev1.Service{}, name),
		child(&corev1.ConfigMap{}, name),
		child(&appsv1.Deployment{}, name),
		child(&rbacv1.Role{}, name),
		child(&rbacv1.RoleBinding{}, name),
		child(&corev1.ServiceAccount{}, name),
		child(&corev1.Secret{}, name),
		child(&corev1.Secret{}, name+"-issued"),
		child(&corev1.ConfigMap{}, contract.ReportConfigMapName(server)),
		child(&networkingv1.NetworkPolicy{}, name),
	}
}

func deleteChild(ctx context.Context, w *world, o operation) error {
	all := children(serverOf(o).Name)
	return tolerate(w.admin().Delete(ctx, all[o.value%len(all)]))
}

func damageChild(ctx context.Context, w *world, o operation) error {
	all := children(serverOf(o).Name)
	return change(ctx, w, all[o.value%len(all)], damage)
}

// damage changes something that the operator has written.
func damage(object client.Object) {
	switch object := object.(type) {
	case *corev1.Service:
		object.Spec.Selector = map[string]string{"app": damaged}
	case *corev1.ConfigMap:
		for key := range object.Data {
			object.Data[key] = damaged
		}
	case *appsv1.Deployment:
		object.Spec.Template.Spec.Containers[0].Args = []string{damaged}
	case *rbacv1.Role:
		for i := range object.Rules {
			object.Rules[i].ResourceNames = []string{damaged}
		}
	case *rbacv1.RoleBinding:
		for i := range object.Subjects {
			object.Subjects[i].Name = damaged
		}
	case *networkingv1.NetworkPolicy:
		object.Spec.PodSelector.MatchLabels = map[string]string{"app": damaged}
	case *corev1.ServiceAccount, *corev1.Secret:
		labels := object.GetLabels()
		for key := range labels {
			labels[key] = damaged
		}
		object.SetLabels(labels)
	}
}

func damageWebhook(ctx context.Context, w *world, o operation) error {
	for _, webhook := range webhooksNamed(webhookName(newPolicy(o.target % policies))) {
		if err := change(ctx, w, webhook, func(object client.Object) { breakWebhook(object, o.value) }); err != nil {
			return err
		}
	}
	return nil
}

func breakWebhook(object client.Object, value int) {
	var config *admissionregistrationv1.WebhookClientConfig
	switch object := object.(type) {
	case *admissionregistrationv1.ValidatingWebhookConfiguration:
		if len(object.Webhooks) > 0 {
			config = &object.Webhooks[0].ClientConfig
		}
	case *admissionregistrationv1.MutatingWebhookConfiguration:
		if len(object.Webhooks) > 0 {
			config = &object.Webhooks[0].ClientConfig
		}
	}
	switch {
	case value%3 == 0:
		object.SetAnnotations(nil) // what it was rendered from is forgotten
	case config != nil && config.Service != nil:
		config.Service.Name = damaged
	}
}
