package render

import (
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// PolicyServer renders all children of a PolicyServer but its certificates, which
// controllers/certs writes step by step. Which there are depends on the
// spec; what is missing from the result is not wanted any more. The order is that of
// dependence: a Pod finds its account, rights and configuration in place.
//
// The error names the field of the spec that is at fault.
func PolicyServer(in PolicyServerInput) ([]Object, error) {
	if _, failures := ScalingOf(in.Server); len(failures) > 0 {
		return nil, failures.ToAggregate()
	}
	configMap, err := ConfigMap(in)
	if err != nil {
		return nil, err
	}
	children := []Object{configMap}
	if !in.rolls() {
		children = append(children, ReportConfigMap(in))
	}
	if account := ServiceAccount(in); account != nil {
		children = append(children, account)
	}
	if !in.rolls() {
		children = append(children, Role(in), RoleBinding(in))
	}
	children = append(children, Service(in))
	if policy := NetworkPolicy(in); policy != nil {
		children = append(children, policy)
	}
	if budget := PodDisruptionBudget(in); budget != nil {
		children = append(children, budget)
	}
	deployment, err := deploymentFor(in, configMap)
	if err != nil || deployment == nil {
		return children, err
	}
	children = append(children, deployment)
	if autoscaler := HorizontalPodAutoscaler(in); autoscaler != nil {
		children = append(children, autoscaler)
	}
	return children, nil
}

// deploymentFor is the Deployment whose Pods read a ConfigMap; nil when there is to be none yet.
func deploymentFor(in PolicyServerInput, configMap *corev1.ConfigMap) (*appsv1.Deployment, error) {
	deployment := Deployment(in)
	switch {
	case !in.rolls():
		return deployment, nil
	case in.ServingCertificate == "":
		// The Pods could not start, and the certificate would replace them at once.
		return nil, nil
	}
	return deployment, in.markRollout(deployment, configMap)
}

// PolicyServerKinds are all kinds that PolicyServer can render: where to look for
// children that are not rendered any more.
func PolicyServerKinds() []schema.GroupVersionKind {
	return []schema.GroupVersionKind{
		corev1.SchemeGroupVersion.WithKind("ConfigMap"),
		corev1.SchemeGroupVersion.WithKind("ServiceAccount"),
		rbacv1.SchemeGroupVersion.WithKind("Role"),
		rbacv1.SchemeGroupVersion.WithKind("RoleBinding"),
		corev1.SchemeGroupVersion.WithKind("Service"),
		networkingv1.SchemeGroupVersion.WithKind("NetworkPolicy"),
		policyv1.SchemeGroupVersion.WithKind("PodDisruptionBudget"),
		appsv1.SchemeGroupVersion.WithKind("Deployment"),
		autoscalingv2.SchemeGroupVersion.WithKind("HorizontalPodAutoscaler"),
	}
}

// childMeta is the metadata of a child.
func (in PolicyServerInput) childMeta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name:      name,
		Namespace: in.Config.Namespace,
		Labels:    merge(commonLabels(in.Server.Name), in.Installation.labels()),
	}
}

// replicas are those that the spec asks for, which an autoscaler has for the least.
func (in PolicyServerInput) replicas() int32 { return specReplicas(in.Server) }

// defaultReplicas survives the loss of one node. The API server fills in the same.
const defaultReplicas = 2
