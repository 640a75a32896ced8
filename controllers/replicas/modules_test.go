package replicas_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

func reachable(ip string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Status.PodIP = ip
		pod.Spec.Containers = []corev1.Container{
			{Name: "sidecar", Ports: []corev1.ContainerPort{{Name: "other", ContainerPort: 1}}},
			{Name: "policy-server-default", Ports: []corev1.ContainerPort{{Name: "readiness", ContainerPort: 8081}, {Name: render.PortName, ContainerPort: 8443}}},
		}
	}
}

func TestModules(t *testing.T) {
	wanted, former := entry(t, `{"labels":["b"]}`), entry(t, `{"labels":["a"]}`)
	wanted.Module, wanted.Refresh, former.Module = "m:v1", "r", "m:v1"
	pinned := wanted
	pinned.ModuleDigest = digestA
	group := contract.Entry{Expression: "a() && b()", Policies: map[string]contract.Member{
		"a": {Module: "m:v1", ModuleDigest: digestA}, "b": {Module: "m:v2", ModuleDigest: digestB},
	}}
	both := contract.GroupDigest(map[string]string{"a": digestA, "b": digestB})
	changed := contract.Entry{Expression: "a() || b()", Policies: group.Policies}
	tells := map[string]string{policyID: digestA}
	one := []corev1.Pod{pod("a", ready, reachable("10.0.0.1"))}
	tests := map[string]struct {
		pods    []corev1.Pod
		reports map[string]contract.Report
		entry   contract.Entry
		want    []string
	}{
		"told":   {one, map[string]contract.Report{"a": servingDigests(t, wanted, digestA, tells)}, wanted, []string{"m:v1 r " + digestA + " 10.0.0.1:8443"}},
		"pinned": {one, map[string]contract.Report{"a": servingDigests(t, pinned, digestA, nil)}, pinned, []string{"m:v1 r " + digestA + " 10.0.0.1:8443"}},
		"pinned, with other settings than the wanted": {
			one, map[string]contract.Report{"a": servingDigests(t, former, digestA, nil)}, pinned, []string{"m:v1 r " + digestA + " 10.0.0.1:8443"},
		},
		"pinned, and another module serves": {one, map[string]contract.Report{"a": servingDigests(t, former, digestB, nil)}, pinned, nil},
		// What it reports may be the digest of another URL.
		"not pinned, of a former revision": {one, map[string]contract.Report{"a": servingDigests(t, former, digestA, tells)}, wanted, nil},
		"not served":                       {one, map[string]contract.Report{"a": {StartTime: startTime}}, pinned, nil},
		"a group": {
			one,
			map[string]contract.Report{"a": servingDigests(t, group, both, nil)},
			group,
			[]string{"m:v1  " + digestA + " 10.0.0.1:8443", "m:v2  " + digestB + " 10.0.0.1:8443"},
		},
		"a group with another expression": {
			one,
			map[string]contract.Report{"a": servingDigests(t, group, both, nil)},
			changed,
			[]string{"m:v1  " + digestA + " 10.0.0.1:8443", "m:v2  " + digestB + " 10.0.0.1:8443"},
		},
		"the oldest comes first, and IPv6": {
			[]corev1.Pod{pod("a", ready, bornAt(time.Minute), reachable("10.0.0.1")), pod("b", ready, bornAt(0), reachable("fd00::2"))},
			map[string]contract.Report{"a": servingDigests(t, pinned, digestA, nil), "b": servingDigests(t, pinned, digestA, nil)},
			pinned,
			[]string{"m:v1 r " + digestA + " [fd00::2]:8443", "m:v1 r " + digestA + " 10.0.0.1:8443"},
		},
		"not ready":      {[]corev1.Pod{pod("a", reachable("10.0.0.1"))}, map[string]contract.Report{"a": servingDigests(t, pinned, digestA, nil)}, pinned, nil},
		"no address":     {[]corev1.Pod{pod("a", ready)}, map[string]contract.Report{"a": servingDigests(t, pinned, digestA, nil)}, pinned, nil},
		"without report": {one, nil, pinned, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			modules, err := replicas.NewSet(tc.pods, tc.reports).Modules(contract.Policies{policyID: tc.entry})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, module := range modules {
				got = append(got, module.URL+" "+module.Refresh+" "+module.Digest+" "+module.Replica.Address)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("modules (-want +got):\n%s", diff)
			}
		})
	}
}
