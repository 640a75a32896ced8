//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// trafficServer is a policy server of its own, so that nobody else's requests count.
const trafficServer = "e2e-traffic"

// TestNoAdmissionFailsUnderTraffic does to a policy server, one after the other, what an
// administrator and a cluster do to it, at 200 admissions a second. Whatever is not said to
// be a kill loses nothing.
func TestNoAdmissionFailsUnderTraffic(t *testing.T) {
	ns := namespace(t)
	server := newTrafficServer(t)
	create(t, server)
	policy := newPolicy(t, ns, moduleContainerLimits, cpuLimit(0))
	policy.Spec.PolicyServer = trafficServer
	policy.Spec.Rules[0].Operations = []admissionregistrationv1.OperationType{admissionregistrationv1.Create}
	create(t, policy)
	eventuallyReady(t, policy, time.Minute)
	eventuallyReplaced(t, trafficServer, nil, 2)

	t.Run("while a policy is edited", func(t *testing.T) {
		load := startTraffic(t, ns)
		for i := range 20 {
			kubectl(t, "patch", "clusteradmissionpolicy", policy.Name, "--type=merge", "--patch",
				fmt.Sprintf(`{"spec":{"settings":%s}}`, rawSettings(t, cpuLimit(i+1)).Raw))
			time.Sleep(time.Second)
		}
		eventuallyReady(t, policy, promptly)
		load.stopWithoutFailure(t)
	})
	t.Run("while a server is rolled out", func(t *testing.T) {
		load := startTraffic(t, ns)
		before := replicasOf(t, trafficServer)
		rollOut(t)
		eventuallyReplaced(t, trafficServer, before, 2)
		load.stopWithoutFailure(t)
	})
	t.Run("while each replica is drained", func(t *testing.T) {
		load := startTraffic(t, ns)
		for _, pod := range replicasOf(t, trafficServer) {
			evict(t, pod)
			eventuallyReplaced(t, trafficServer, []corev1.Pod{pod}, 2)
		}
		load.stopWithoutFailure(t)
	})
	t.Run("while the registry is away during a roll-out", func(t *testing.T) {
		load := startTraffic(t, ns)
		before := replicasOf(t, trafficServer)
		resume := pauseRegistry(t)
		rollOut(t)
		gomega.NewWithT(t).Eventually(func() int { return len(replicasOf(t, trafficServer)) }).WithTimeout(time.Minute).
			Should(gomega.BeNumerically(">", len(before)), "the roll-out begins")
		gomega.NewWithT(t).Consistently(func(g gomega.Gomega) {
			for _, pod := range replicasOf(t, trafficServer) {
				isNew := !slices.ContainsFunc(before, func(old corev1.Pod) bool { return old.UID == pod.UID })
				g.Expect(isNew && isReady(pod)).To(gomega.BeFalse(), "%s has no module and is ready", pod.Name)
			}
		}).WithTimeout(10 * time.Second).WithPolling(200 * time.Millisecond).Should(gomega.Succeed())
		resume()
		eventuallyReplaced(t, trafficServer, before, 2)
		load.stopWithoutFailure(t)
	})
	t.Run("for two seconds at most, when a replica is killed", func(t *testing.T) {
		load := startTraffic(t, ns)
		time.Sleep(3 * time.Second)
		pod := replicasOf(t, trafficServer)[0]
		killed := time.Now()
		kill(t, pod)
		time.Sleep(10 * time.Second)
		eventuallyReplaced(t, trafficServer, nil, 2)
		failures := load.stop(t)
		t.Logf("%d admissions failed when a replica was killed", len(failures))
		for _, failure := range failures {
			if after := failure.at.Sub(killed); after < -time.Second || after > 2*time.Second {
				t.Errorf("%s after the kill: %s", after, failure.text)
			}
		}
	})
	t.Run("and new replicas take their share", func(t *testing.T) {
		load := startTraffic(t, ns)
		time.Sleep(3 * time.Second)
		scale(t, 4)
		eventuallyReplaced(t, trafficServer, nil, 4)
		before := evaluations(t)
		var shares []float64
		gomega.NewWithT(t).Eventually(func() []float64 {
			shares = sharesSince(t, before)
			return shares
		}).WithTimeout(2 * time.Minute).WithPolling(5 * time.Second).
			Should(gomega.And(gomega.HaveLen(4), gomega.HaveEach(gomega.BeNumerically(">", 0.15))))
		t.Logf("shares of the replicas: %.2f", shares)
		load.stopWithoutFailure(t)
	})
}

func newTrafficServer(t *testing.T) *policiesv1.PolicyServer {
	t.Helper()
	authorities, err := sourceAuthorities()
	if err != nil {
		t.Fatal(err)
	}
	server := &policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: trafficServer}}
	server.Spec.Replicas = new(int32(2))
	server.Spec.SourceAuthorities = authorities
	return server
}

// cpuLimit are settings of container-limits that change with the step, and never so that one
// of the Pods of the traffic is judged otherwise.
func cpuLimit(step int) map[string]any { return map[string]any{"cpu": fmt.Sprintf("%dm", 1000+step)} }

func deploymentName() string { return "policy-server-" + trafficServer }

// rollOut does what kubectl rollout restart does.
func rollOut(t *testing.T) {
	t.Helper()
	kubectl(t, "--namespace", operatorNamespace, "rollout", "restart", "deployment/"+deploymentName())
}

// scale changes the custom resource.
func scale(t *testing.T, replicas int32) {
	t.Helper()
	server := &policiesv1.PolicyServer{}
	g := gomega.NewWithT(t)
	g.Eventually(func() error {
		if err := cluster.Get(t.Context(), client.ObjectKey{Name: trafficServer}, server); err != nil {
			return err
		}
		server.Spec.Replicas = &replicas
		return cluster.Update(t.Context(), server)
	}).WithTimeout(promptly).Should(gomega.Succeed())
	g.Eventually(func(g gomega.Gomega) {
		deployment := &appsv1.Deployment{}
		g.Expect(cluster.Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: deploymentName()}, deployment)).To(gomega.Succeed())
		g.Expect(*deployment.Spec.Replicas).To(gomega.Equal(replicas))
	}).WithTimeout(promptly).Should(gomega.Succeed())
}

// evict asks for an eviction, as kubectl drain does, until the disruption budget allows it.
func evict(t *testing.T, pod corev1.Pod) {
	t.Helper()
	eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}}
	gomega.NewWithT(t).Eventually(func() error {
		return cluster.SubResource("eviction").Create(t.Context(), &pod, eviction.DeepCopy())
	}).WithTimeout(time.Minute).WithPolling(500 * time.Millisecond).Should(gomega.Succeed())
}

// kill sends SIGKILL to the process of a replica.
func kill(t *testing.T, pod corev1.Pod) {
	t.Helper()
	pid := processWith(t, "policy-server", "KUBEWARDEN_REPLICA="+pod.Name)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("kill the process of Pod %s: %v", pod.Name, err)
	}
}

// pauseRegistry stops the process of the cluster's registry: whoever connects gets no answer.
func pauseRegistry(t *testing.T) (resume func()) {
	t.Helper()
	pid := processWith(t, "registry-serve", "")
	signal := func(signal syscall.Signal) {
		if err := syscall.Kill(pid, signal); err != nil {
			t.Errorf("send %s to the registry: %v", signal, err)
		}
	}
	signal(syscall.SIGSTOP)
	t.Cleanup(func() { signal(syscall.SIGCONT) })
	return func() { signal(syscall.SIGCONT) }
}

// processWith finds the process of this machine whose first argument is a command, with a
// variable in its environment.
func processWith(t *testing.T, command, variable string) int {
	t.Helper()
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		arguments, _ := os.ReadFile(filepath.Join(folder, "cmdline")) // it may have ended
		environment, _ := os.ReadFile(filepath.Join(folder, "environ"))
		fields := bytes.Split(arguments, []byte{0})
		if len(fields) < 2 || string(fields[1]) != command {
			continue
		}
		if variable != "" && !bytes.Contains(append(environment, 0), []byte(variable+"\x00")) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(folder))
		if err != nil {
			t.Fatal(err)
		}
		return pid
	}
	t.Fatalf("no process on this machine runs %s %s; these tests want the node to be here", command, variable)
	return 0
}

// evaluations are how many requests each ready replica has judged, by Pod.
func evaluations(t *testing.T) map[string]float64 {
	t.Helper()
	counts := map[string]float64{}
	for _, pod := range replicasOf(t, trafficServer) {
		metrics := kubectl(t, "get", "--raw", fmt.Sprintf("/api/v1/namespaces/%s/pods/%s:8080/proxy/metrics", operatorNamespace, pod.Name))
		counts[pod.Name] = 0
		for line := range strings.Lines(metrics) {
			if !strings.HasPrefix(line, "kubewarden_policy_evaluations_total{") {
				continue
			}
			fields := strings.Fields(line)
			count, err := strconv.ParseFloat(fields[len(fields)-1], 64)
			if err != nil {
				t.Fatalf("read %q: %v", line, err)
			}
			counts[pod.Name] += count
		}
	}
	return counts
}

// sharesSince are the replicas' shares of what was judged since.
func sharesSince(t *testing.T, before map[string]float64) []float64 {
	t.Helper()
	total, counts := 0.0, evaluations(t)
	for name := range counts {
		counts[name] -= before[name]
		total += counts[name]
	}
	shares := make([]float64, 0, len(counts))
	for _, count := range counts {
		shares = append(shares, count/max(total, 1))
	}
	return shares
}
