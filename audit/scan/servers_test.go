package scan

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestOnly(t *testing.T) {
	good := corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 443}, {Port: 8080}}}}
	cases := map[string]struct {
		services []corev1.Service
		want     string
	}{
		"one":         {services: []corev1.Service{good}},
		"none":        {want: "there are 0, where 1 is needed"},
		"two":         {services: []corev1.Service{good, good}, want: "there are 2, where 1 is needed"},
		"one, closed": {services: []corev1.Service{{}}, want: "it has no port"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			service, err := only(tc.services)
			if tc.want == "" && (err != nil || service.Spec.Ports[0].Port != 443) || tc.want != "" && (err == nil || err.Error() != tc.want) {
				t.Errorf("service = %v, error = %v, want %q", service, err, tc.want)
			}
		})
	}
}

func TestNewScannerRefusesBoundsBelowOne(t *testing.T) {
	_, err := NewScanner(Config{ParallelNamespaces: 1, ParallelResources: 1, ParallelPolicies: 1})
	if err == nil || err.Error() != "page size is 0; allowed is 1 or more" {
		t.Errorf("error = %v", err)
	}
}
