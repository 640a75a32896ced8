package controllers

import (
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/optional"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// cacheOptions narrows what is watched and kept: namespaced objects in the operator's
// namespace only, but for policies, and of kinds that others use too, those that the
// operator made.
// Everything else is none of its business, Secrets above all.
func cacheOptions(namespace string) cache.Options {
	ours := cache.ByObject{Label: labelled(render.LabelInstallation)}
	everywhere := cache.ByObject{Namespaces: map[string]cache.Config{cache.AllNamespaces: {}}}
	// When a caBundle was last written is told by the managed fields.
	webhooks := ours
	webhooks.Transform = func(object any) (any, error) { return object, nil }
	return cache.Options{
		DefaultNamespaces: map[string]cache.Config{namespace: {}},
		DefaultTransform:  cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&admissionregistrationv1.ValidatingWebhookConfiguration{}: webhooks,
			&admissionregistrationv1.MutatingWebhookConfiguration{}:   webhooks,
			&apiextensionsv1.CustomResourceDefinition{}:               {Transform: optional.StripSchemas},
			&schedulingv1.PriorityClass{}: {
				Field: fields.OneTermEqualSelector("metadata.name", render.PriorityClassName),
			},
			&corev1.Pod{}:                            {Label: labelled(render.LabelPolicyServer)},
			&corev1.ConfigMap{}:                      ours,
			&corev1.Secret{}:                         ours,
			&corev1.Service{}:                        ours,
			&corev1.ServiceAccount{}:                 ours,
			&appsv1.Deployment{}:                     ours,
			&policyv1.PodDisruptionBudget{}:          ours,
			&autoscalingv2.HorizontalPodAutoscaler{}: ours,
			&networkingv1.NetworkPolicy{}:            ours,
			&rbacv1.Role{}:                           ours,
			&rbacv1.RoleBinding{}:                    ours,
			&rbacv1.ClusterRoleBinding{}:             ours,
			&batchv1.CronJob{}:                       ours,
			&batchv1.Job{}:                           ours,
			&policiesv1.AdmissionPolicy{}:            everywhere,
			&policiesv1.AdmissionPolicyGroup{}:       everywhere,
		},
	}
}

// labelled selects objects that have a label, whatever its value.
func labelled(key string) labels.Selector {
	requirement, err := labels.NewRequirement(key, selection.Exists, nil)
	if err != nil {
		return labels.Nothing()
	}
	return labels.NewSelector().Add(*requirement)
}
