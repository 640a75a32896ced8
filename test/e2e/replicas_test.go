//go:build e2e

package e2e

import (
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// replicasOf are the Pods of a policy server that do not terminate.
func replicasOf(t *testing.T, server string) []corev1.Pod {
	t.Helper()
	pods := &corev1.PodList{}
	gomega.NewWithT(t).Expect(cluster.List(t.Context(), pods, client.InNamespace(operatorNamespace), replicaLabels(server))).To(gomega.Succeed())
	var replicas []corev1.Pod
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp.IsZero() {
			replicas = append(replicas, pod)
		}
	}
	return replicas
}

func replicaLabels(server string) client.MatchingLabels {
	return client.MatchingLabels{"kubewarden/policy-server": server}
}

func isReady(pod corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// eventuallyReplaced waits until a policy server has so many ready replicas and none of those
// before.
func eventuallyReplaced(t *testing.T, server string, before []corev1.Pod, count int) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func(g gomega.Gomega) {
		replicas := replicasOf(t, server)
		g.Expect(replicas).To(gomega.HaveLen(count))
		for _, pod := range replicas {
			g.Expect(isReady(pod)).To(gomega.BeTrue(), pod.Name)
			for _, old := range before {
				g.Expect(pod.UID).NotTo(gomega.Equal(old.UID))
			}
		}
	}).WithTimeout(2 * time.Minute).WithPolling(200 * time.Millisecond).Should(gomega.Succeed())
}

// replaceServerPods deletes every Pod of the default policy server at once and waits until
// as many others are ready.
func replaceServerPods(t *testing.T) {
	t.Helper()
	const server = policiesv1.DefaultPolicyServer
	before := replicasOf(t, server)
	gomega.NewWithT(t).Expect(cluster.DeleteAllOf(t.Context(), &corev1.Pod{}, client.InNamespace(operatorNamespace), replicaLabels(server))).
		To(gomega.Succeed())
	eventuallyReplaced(t, server, before, len(before))
}

// touch has the kubelet look at the replicas of a policy server, and at what they mount, at
// once: by itself it would within two minutes.
func touch(t *testing.T, server string) {
	t.Helper()
	patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"example.org/looked-at":"`+time.Now().Format(time.RFC3339Nano)+`"}}}`))
	for _, pod := range replicasOf(t, server) {
		if err := client.IgnoreNotFound(cluster.Patch(t.Context(), &pod, patch)); err != nil {
			t.Fatalf("touch Pod %s: %v", pod.Name, err)
		}
	}
}
