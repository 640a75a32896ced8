package render

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
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
	if err := requireLive(in); err != nil {
		return nil, err
	}
	configMap, err := ConfigMap(in)
	if err != nil {
		return nil, err
	}
	children := []Object{configMap, ReportConfigMap(in)}
	if account := ServiceAccount(in); account != nil {
		children = append(children, account)
	}
	children = append(children, Role(in), RoleBinding(in), Service(in))
	if policy := NetworkPolicy(in); policy != nil {
		children = append(children, policy)
	}
	if budget := PodDisruptionBudget(in); budget != nil {
		children = append(children, budget)
	}
	return append(children, Deployment(in)), nil
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
	}
}

// UnsupportedImageError says that spec.image is not an image that can be run.
type UnsupportedImageError struct{ Image string }

// Error tells a user which field is at fault and what is allowed.
func (e *UnsupportedImageError) Error() string {
	return fmt.Sprintf("spec.image %q does not follow this operator's contract: leave it out to run the operator's own image, "+
		"name a copy of that, or annotate an image that follows the contract with %s", e.Image, liveAnnotation)
}

func requireLive(in PolicyServerInput) error {
	if ServerContract(in.Server, in.Config.Image) != ContractLive {
		return &UnsupportedImageError{Image: in.Server.Spec.Image}
	}
	return nil
}

// childMeta is the metadata of a child.
func (in PolicyServerInput) childMeta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name:      name,
		Namespace: in.Config.Namespace,
		Labels:    merge(commonLabels(in.Server.Name), in.Installation.labels()),
	}
}

func (in PolicyServerInput) replicas() int32 {
	if in.Server.Spec.Replicas == nil {
		return defaultReplicas
	}
	return *in.Server.Spec.Replicas
}

// defaultReplicas survives the loss of one node. The API server fills in the same.
const defaultReplicas = 2
