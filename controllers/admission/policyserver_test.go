package admission

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

func TestPolicyServer(t *testing.T) {
	quantities := func(list map[corev1.ResourceName]string) corev1.ResourceList {
		parsed := corev1.ResourceList{}
		for name, quantity := range list {
			parsed[name] = resource.MustParse(quantity)
		}
		return parsed
	}
	one := intstr.FromInt32(1)
	tests := map[string]struct {
		name string
		spec policiesv1.PolicyServerSpec
		want []string
	}{
		"nothing set":  {name: "default"},
		"longest name": {name: strings.Repeat("a", 49)},
		"a name that is too long": {
			name: strings.Repeat("a", 50), want: []string{"metadata.name: Invalid value"},
		},
		"a name with a dot": {name: "a.b", want: []string{`metadata.name: Invalid value: "a.b": the PolicyServer name cannot contain a dot`}},
		"the name of another server's reports": {
			name: "a-replicas", want: []string{`metadata.name: Invalid value: "a-replicas": the PolicyServer name cannot end in -replicas or -issued`},
		},
		"the name of another server's certificate": {
			name: "a-issued", want: []string{`metadata.name: Invalid value: "a-issued": the PolicyServer name cannot end in -replicas or -issued`},
		},
		"both bounds of a disruption": {
			name: "default", spec: policiesv1.PolicyServerSpec{MinAvailable: &one, MaxUnavailable: &one},
			want: []string{"spec: Invalid value: minAvailable and maxUnavailable cannot be both set"},
		},
		"requests up to the limits": {name: "default", spec: policiesv1.PolicyServerSpec{
			Limits: quantities(map[corev1.ResourceName]string{"cpu": "1", "memory": "1Gi"}), Requests: quantities(map[corev1.ResourceName]string{"cpu": "1000m"}),
		}},
		"a request without a limit": {name: "default", spec: policiesv1.PolicyServerSpec{
			Requests: quantities(map[corev1.ResourceName]string{"cpu": "2"}),
		}},
		"a request over its limit": {
			name: "default", spec: policiesv1.PolicyServerSpec{
				Limits: quantities(map[corev1.ResourceName]string{"cpu": "1"}), Requests: quantities(map[corev1.ResourceName]string{"cpu": "1500m"}),
			},
			want: []string{`spec.requests.cpu: Invalid value: "1500m": must be less than or equal to cpu limit of 1`},
		},
		"negative quantities": {
			name: "default", spec: policiesv1.PolicyServerSpec{
				Limits: quantities(map[corev1.ResourceName]string{"cpu": "-1"}), Requests: quantities(map[corev1.ResourceName]string{"memory": "-1"}),
			},
			want: []string{
				`spec.limits.cpu: Invalid value: "-1": must be greater than or equal to 0`,
				`spec.requests.memory: Invalid value: "-1": must be greater than or equal to 0`,
			},
		},
		"one port for both": {
			name: "default", spec: policiesv1.PolicyServerSpec{WebhookPort: new(int32(8081))},
			want: []string{"spec.readinessProbePort: Invalid value: 8081: readinessProbePort must differ from webhookPort (8081)"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			server := &policiesv1.PolicyServer{Spec: tc.spec}
			server.Name = tc.name
			checkErrors(t, PolicyServer(server), tc.want...)
		})
	}
}
