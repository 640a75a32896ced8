package controllers

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestImageOf(t *testing.T) {
	tests := map[string]struct {
		containers []corev1.Container
		want       string
		wantErr    string
	}{
		"the operator's container, beside an injected one": {
			containers: []corev1.Container{{Name: "proxy", Image: "mesh:1"}, {Name: "operator", Image: "registry.example/operator@sha256:1"}},
			want:       "registry.example/operator@sha256:1",
		},
		"a Pod of something else": {
			containers: []corev1.Container{{Name: "proxy", Image: "mesh:1"}},
			wantErr:    `find the operator's own image: Pod kubewarden/own has no container named "operator"`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "kubewarden", Name: "own"}, Spec: corev1.PodSpec{Containers: tc.containers}}
			got, err := imageOf(pod)
			gotErr := ""
			if err != nil {
				gotErr = err.Error()
			}
			if got != tc.want || gotErr != tc.wantErr {
				t.Errorf("imageOf() = %q, %q; want %q, %q", got, gotErr, tc.want, tc.wantErr)
			}
		})
	}
}
