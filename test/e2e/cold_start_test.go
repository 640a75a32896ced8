//go:build e2e && e2e_cold_start

package e2e

import (
	"testing"
	"time"

	"github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// nodeName is the name of the only node.
const nodeName = "kubewarden"

// TestAClusterComesBackByItself stops everything but the registry while a policy guards all
// requests and fails closed, and starts it again. The policy servers are new ones, which have
// to fetch their module from a registry that only the cluster's DNS finds, and the node has to
// register anew. The registry stays away for a while, to look at a cluster in which no policy
// server answers. Nobody helps.
func TestAClusterComesBackByItself(t *testing.T) {
	for name, gates := range map[string]string{
		"reviews are hidden from webhooks": "",
		"reviews are shown to webhooks":    "ExcludeAdmissionWebhookVirtualResources=false",
	} {
		t.Run(name, func(t *testing.T) {
			ns := namespace(t)
			policy := guardEverything(t)
			stopped := time.Now()
			bringRegistryBack := stopWithoutServers(t)
			inCluster(t, "start", "--feature-gates="+gates)
			started := time.Now()

			awaitControlPlane(t, stopped)
			nobodyAnswers(t, ns)
			nodeIsAlive(t, stopped)
			nobodyAnswers(t, ns)

			bringRegistryBack()
			gomega.NewWithT(t).Eventually(func() error { return attempt(t, privileged(newPod(ns))) }).WithTimeout(comeback).
				WithPolling(time.Second).Should(gomega.MatchError(gomega.ContainSubstring("Privileged container is not allowed")))
			gomega.NewWithT(t).Eventually(func() error { return attempt(t, newPod(ns)) }).WithTimeout(promptly).Should(gomega.Succeed())
			t.Logf("the policy judges again %s after the start", time.Since(started).Round(time.Second))
			eventuallyReady(t, policy, time.Minute)
			everyPodIsReady(t)
		})
	}
}

// stopWithoutServers stops the cluster so that, when it starts, there is no Node, no policy
// server that was there before, and no registry.
func stopWithoutServers(t *testing.T) (bringRegistryBack func()) {
	t.Helper()
	g := gomega.NewWithT(t)
	bringRegistryBack = loseRegistry(t, registryRefuses)
	inCluster(t, "stop", "kubelet")
	g.Expect(cluster.Delete(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName}})).To(gomega.Succeed())
	g.Expect(cluster.DeleteAllOf(t.Context(), &corev1.Pod{}, client.InNamespace(operatorNamespace), replicaLabels(guardServer),
		client.GracePeriodSeconds(0))).To(gomega.Succeed())
	inCluster(t, "stop")
	return bringRegistryBack
}

// awaitControlPlane waits until the cluster's DNS and the operator run anew.
func awaitControlPlane(t *testing.T, since time.Time) {
	t.Helper()
	for namespace, labels := range map[string]client.MatchingLabels{
		"kube-system":     {"k8s-app": "kube-dns"},
		operatorNamespace: {"app.kubernetes.io/component": "operator"},
	} {
		gomega.NewWithT(t).Eventually(func(g gomega.Gomega) {
			pods := &corev1.PodList{}
			g.Expect(cluster.List(t.Context(), pods, client.InNamespace(namespace), labels)).To(gomega.Succeed())
			g.Expect(pods.Items).NotTo(gomega.BeEmpty())
			for _, pod := range pods.Items {
				g.Expect(isReady(pod)).To(gomega.BeTrue(), pod.Name)
				running := pod.Status.ContainerStatuses[0].State.Running
				g.Expect(running).NotTo(gomega.BeNil(), pod.Name)
				g.Expect(running.StartedAt.After(since)).To(gomega.BeTrue(), "%s was started anew", pod.Name)
			}
		}).WithTimeout(comeback).WithPolling(500*time.Millisecond).Should(gomega.Succeed(), "Pods %v of %s", labels, namespace)
	}
}

// nodeIsAlive waits until the node has registered anew, has the kubelet's report that it is
// ready and no taint left, and renews its lease.
func nodeIsAlive(t *testing.T, since time.Time) {
	t.Helper()
	g := gomega.NewWithT(t)
	node := &corev1.Node{}
	g.Eventually(func(g gomega.Gomega) {
		g.Expect(cluster.Get(t.Context(), client.ObjectKey{Name: nodeName}, node)).To(gomega.Succeed())
		g.Expect(node.CreationTimestamp.After(since)).To(gomega.BeTrue(), "the node has registered anew")
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady {
				g.Expect(condition.Status).To(gomega.Equal(corev1.ConditionTrue), condition.Message)
			}
		}
		g.Expect(node.Spec.Taints).To(gomega.BeEmpty(), "Pods can be scheduled")
	}).WithTimeout(time.Minute).WithPolling(500 * time.Millisecond).Should(gomega.Succeed())

	// The lease of the Node that was deleted goes with it, a little later, and is made again.
	from := time.Now()
	g.Eventually(func(g gomega.Gomega) {
		lease := &coordinationv1.Lease{}
		g.Expect(cluster.Get(t.Context(), client.ObjectKey{Namespace: corev1.NamespaceNodeLease, Name: nodeName}, lease)).To(gomega.Succeed())
		g.Expect(lease.Spec.RenewTime.Time).To(gomega.BeTemporally(">", from), "the node renews its lease")
	}).WithTimeout(time.Minute).WithPolling(500 * time.Millisecond).Should(gomega.Succeed())
}

func everyPodIsReady(t *testing.T) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func(g gomega.Gomega) {
		pods := &corev1.PodList{}
		g.Expect(cluster.List(t.Context(), pods)).To(gomega.Succeed())
		for _, pod := range pods.Items {
			if owner := metav1.GetControllerOf(&pod); owner != nil && owner.Kind == "Job" {
				continue // an audit that began meanwhile
			}
			g.Expect(isReady(pod)).To(gomega.BeTrue(), "%s/%s", pod.Namespace, pod.Name)
		}
	}).WithTimeout(comeback).WithPolling(time.Second).Should(gomega.Succeed())
}
