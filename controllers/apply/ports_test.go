package apply

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

func TestPortsOfOthers(t *testing.T) {
	port := func(name string, number int32) corev1.ServicePort {
		return corev1.ServicePort{Name: name, Port: number, Protocol: corev1.ProtocolTCP}
	}
	rename := func(path string, number int32, name string) []operation {
		return []operation{{Op: "test", Path: path + "/port", Value: number}, {Op: "add", Path: path + "/name", Value: name}}
	}
	remove := func(path string, number int32) []operation {
		return []operation{{Op: "test", Path: path + "/port", Value: number}, {Op: "remove", Path: path}}
	}
	rendered := []corev1.ServicePort{port("https", 443), port("metrics", 8080)}
	tests := map[string]struct {
		live               []corev1.ServicePort
		renamings, removed []operation
	}{
		"as rendered": {live: rendered},
		"a number was changed": {
			live:      []corev1.ServicePort{port("https", 444), port("metrics", 8080)},
			renamings: rename("/spec/ports/0", 444, "replaced-0"),
			removed:   remove("/spec/ports/0", 444),
		},
		"a port was added": {
			live:    append(rendered[:2:2], port("debug", 6060)),
			removed: remove("/spec/ports/2", 6060),
		},
		"the only port has no name": {
			live:      []corev1.ServicePort{port("", 80)},
			renamings: rename("/spec/ports/0", 80, "replaced-0"),
			removed:   remove("/spec/ports/0", 80),
		},
		"a port was renamed": {live: []corev1.ServicePort{port("renamed", 443), port("metrics", 8080)}},
		"both numbers were changed": {
			live:      []corev1.ServicePort{port("https", 1), port("metrics", 2)},
			renamings: append(rename("/spec/ports/0", 1, "replaced-0"), rename("/spec/ports/1", 2, "replaced-1")...),
			removed:   append(remove("/spec/ports/1", 2), remove("/spec/ports/0", 1)...),
		},
		"numbers changed their name": {live: []corev1.ServicePort{port("metrics", 443), port("https", 8080)}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.renamings, renamings(rendered, tc.live)); diff != "" {
				t.Errorf("before the apply (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.removed, removals(rendered, tc.live)); diff != "" {
				t.Errorf("after the apply (-want +got):\n%s", diff)
			}
		})
	}
}
