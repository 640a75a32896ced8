package render_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

func TestWhatIsUpstreams(t *testing.T) {
	const partOf, managedBy, chart = "app.kubernetes.io/part-of", "app.kubernetes.io/managed-by", "helm.sh/chart"
	tests := map[string]struct {
		labels, annotations map[string]string
		want                bool
	}{
		"nobody's":                        {},
		"part of Kubewarden alone":        {labels: map[string]string{partOf: "kubewarden"}},
		"a child of a policy server":      {labels: map[string]string{partOf: "kubewarden", managedBy: "kubewarden-controller"}, want: true},
		"such a child, taken over":        {labels: map[string]string{partOf: "kubewarden", managedBy: "kubewarden-controller", render.LabelInstallation: "kubewarden"}},
		"of the chart":                    {labels: map[string]string{partOf: "kubewarden", managedBy: "Helm", chart: "admission-controller-6.0.2"}, want: true},
		"of an older chart":               {labels: map[string]string{partOf: "kubewarden", managedBy: "Helm", chart: "kubewarden-defaults-3.14.1"}, want: true},
		"of a chart of the user's":        {labels: map[string]string{partOf: "kubewarden", managedBy: "Helm", chart: "our-policies-1.0.0"}},
		"of the chart, not of Kubewarden": {labels: map[string]string{managedBy: "Helm", chart: "admission-controller-6.0.2"}},
		"a default":                       {labels: map[string]string{partOf: "kubewarden", "kubewarden.io/managed-by": "kubewarden-controller-defaults"}, want: true},
		"a policy's webhook": {
			labels: map[string]string{partOf: "kubewarden"}, annotations: map[string]string{"kubewardenPolicyName": "a"}, want: true,
		},
		"a policy's webhook without the label": {annotations: map[string]string{"kubewardenPolicyName": "a"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			object := &metav1.ObjectMeta{Labels: tc.labels, Annotations: tc.annotations}
			if got := render.IsUpstreams(object); got != tc.want {
				t.Errorf("got %t, want %t", got, tc.want)
			}
		})
	}
}

func TestFormerNamesOfWebhooks(t *testing.T) {
	meta := metav1.ObjectMeta{Namespace: "a-b", Name: "c"}
	cluster := metav1.ObjectMeta{Name: "c"}
	for former, policy := range map[string]policiesv1.Policy{
		"clusterwide-c":          &policiesv1.ClusterAdmissionPolicy{ObjectMeta: cluster},
		"clusterwide-group-c":    &policiesv1.ClusterAdmissionPolicyGroup{ObjectMeta: cluster},
		"namespaced-a-b-c":       &policiesv1.AdmissionPolicy{ObjectMeta: meta},
		"namespaced-group-a-b-c": &policiesv1.AdmissionPolicyGroup{ObjectMeta: meta},
	} {
		names, err := render.UpstreamWebhookNames(policy)
		if err != nil || len(names) != 2 || names[1] != former {
			t.Errorf("%T: got %v (%v), want %s as the second", policy, names, err, former)
		}
	}
}
