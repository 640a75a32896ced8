package render

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// DefaultPolicyServer is the PolicyServer that runs the policies that name none; nil when
// the Kubewarden wants none to be made.
func DefaultPolicyServer(kubewarden *operatorv1alpha1.Kubewarden) *policiesv1.PolicyServer {
	wanted := kubewarden.Spec.DefaultPolicyServer
	if !valueOr(wanted.Enabled, true) {
		return nil
	}
	return &policiesv1.PolicyServer{
		TypeMeta: typeMeta(policiesv1.GroupVersion, "PolicyServer"),
		ObjectMeta: metav1.ObjectMeta{
			Name: policiesv1.DefaultPolicyServer,
			Labels: merge(InstallationLabels(kubewarden.Name), map[string]string{
				labelComponent: componentPolicyServer,
				labelPartOf:    partOfKubewarden,
				labelManagedBy: managedByController,
			}),
		},
		Spec: *wanted.Spec.DeepCopy(),
	}
}
