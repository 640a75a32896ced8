package render

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

const (
	componentController = "controller"

	managedByHelm = "Helm"
	// labelChart is Helm's; its value is the chart's name and version.
	labelChart = "helm.sh/chart"
	// labelDefaults is on what upstream's controller makes out of the ConfigMap of defaults
	// (constants.go).
	labelDefaults   = "kubewarden.io/managed-by"
	managedDefaults = "kubewarden-controller-defaults"
)

// upstreamCharts are in the names of upstream's charts, and of those that repackage them.
var upstreamCharts = []string{"admission-controller", "kubewarden-controller", "kubewarden-defaults"}

// UpstreamControllerLabels are on what upstream's charts run their controller with: its
// Deployment and the webhooks of the custom resources (templates/controller of the charts).
func UpstreamControllerLabels() map[string]string {
	return map[string]string{labelPartOf: partOfKubewarden, labelComponent: componentController}
}

// UpstreamLabels are on every webhook configuration that upstream's controller or charts made.
func UpstreamLabels() map[string]string {
	return map[string]string{labelPartOf: partOfKubewarden}
}

// IsUpstreams says whether upstream's controller or one of its charts made an object. Each
// label alone may be anybody's.
func IsUpstreams(object metav1.Object) bool {
	labels := object.GetLabels()
	if labels[labelPartOf] != partOfKubewarden || IsOurs(labels) {
		return false
	}
	fromChart := slices.ContainsFunc(upstreamCharts, func(chart string) bool { return strings.Contains(labels[labelChart], chart+"-") })
	// Webhook configurations bear no label that tells who made them.
	_, forPolicy := object.GetAnnotations()[AnnotationPolicyName]
	switch {
	case labels[labelDefaults] == managedDefaults, labels[labelManagedBy] == managedByHelm && fromChart:
		return true
	case labels[labelManagedBy] == managedByController:
		return true
	default:
		return forPolicy
	}
}

// UpstreamWebhookNames are the names that upstream's controller gave the webhook
// configuration of a policy, before its version 1.37.2 and since.
func UpstreamWebhookNames(policy policiesv1.Policy) ([]string, error) {
	id, err := PolicyID(policy)
	if err != nil {
		return nil, err
	}
	names := []string{id}
	switch policy.(type) {
	case *policiesv1.ClusterAdmissionPolicy:
		names = append(names, "clusterwide-"+policy.GetName())
	case *policiesv1.ClusterAdmissionPolicyGroup:
		names = append(names, "clusterwide-group-"+policy.GetName())
	case *policiesv1.AdmissionPolicy:
		names = append(names, "namespaced-"+policy.GetNamespace()+"-"+policy.GetName())
	case *policiesv1.AdmissionPolicyGroup:
		names = append(names, "namespaced-group-"+policy.GetNamespace()+"-"+policy.GetName())
	}
	return names, nil
}

// IsAbout says whether a webhook configuration is about a policy of that name. Names of
// before 1.37.2 may be those of two policies; the annotations are not.
func IsAbout(webhook metav1.Object, policy metav1.Object) bool {
	annotations := webhook.GetAnnotations()
	return annotations[AnnotationPolicyName] == policy.GetName() && annotations[AnnotationPolicyNamespace] == policy.GetNamespace()
}
