package apply

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

func TestChangedPortsAreRemovedFromTheLastToTheFirst(t *testing.T) {
	port := func(name string, number int32) corev1.ServicePort {
		return corev1.ServicePort{Name: name, Port: number, Protocol: corev1.ProtocolTCP}
	}
	rendered := []corev1.ServicePort{port("https", 443), port("metrics", 8080)}
	removal := func(path string, number int32) []operation {
		return []operation{{Op: "test", Path: path + "/port", Value: number}, {Op: "remove", Path: path}}
	}
	tests := map[string]struct {
		live []corev1.ServicePort
		want []operation
	}{
		"as rendered":                {rendered, nil},
		"a number was changed":       {[]corev1.ServicePort{port("https", 444), port("metrics", 8080)}, removal("/spec/ports/0", 444)},
		"a port was added":           {append(rendered[:2:2], port("debug", 6060)), nil},
		"a port was renamed":         {[]corev1.ServicePort{port("renamed", 443), port("metrics", 8080)}, nil},
		"both numbers were changed":  {[]corev1.ServicePort{port("https", 1), port("metrics", 2)}, append(removal("/spec/ports/1", 2), removal("/spec/ports/0", 1)...)},
		"numbers changed their name": {[]corev1.ServicePort{port("metrics", 443), port("https", 8080)}, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, usurpers(rendered, tc.live)); diff != "" {
				t.Errorf("unexpected patch (-want +got):\n%s", diff)
			}
		})
	}
}
