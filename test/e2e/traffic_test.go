//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
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

// A replica that is killed takes with it what it was judging. Until its address has left
// every node, one of two connections that are begun is refused, and at most half of what is
// sent meanwhile.
const (
	killedWithin = 2 * time.Second
	killedAtMost = trafficRate * int(killedWithin/time.Second) / 2
)

// TestNoAdmissionFailsUnderTraffic does to a policy server, one after the other, what an
// administrator and a cluster do to it, at 200 admissions a second. Whatever is not said to
// be a kill loses nothing.
func TestNoAdmissionFailsUnderTraffic(t *testing.T) {
	ns := namespace(t)
	create(t, newServer(t, trafficServer))
	policy := trafficPolicy(t, ns, trafficServer)
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
		load.stopWithoutFailure(t, asEver)
	})
	t.Run("while an edit turns verdicts", func(t *testing.T) {
		load := startTraffic(t, ns)
		turns := turnVerdicts(t, policy)
		load.stopWithoutFailure(t, turns.judge)
	})
	t.Run("while a server is rolled out", func(t *testing.T) {
		load := startTraffic(t, ns)
		before := replicasOf(t, trafficServer)
		rollOut(t)
		eventuallyReplaced(t, trafficServer, before, 2)
		load.stopWithoutFailure(t, asEver)
	})
	t.Run("while each replica is drained", func(t *testing.T) {
		load := startTraffic(t, ns)
		for _, pod := range replicasOf(t, trafficServer) {
			evict(t, pod)
			eventuallyReplaced(t, trafficServer, []corev1.Pod{pod}, 2)
		}
		load.stopWithoutFailure(t, asEver)
	})
	for _, away := range []registryAway{registryHangs, registryRefuses} {
		t.Run("while the registry "+away.how+" during a roll-out", func(t *testing.T) {
			load := startTraffic(t, ns)
			rollOutWithoutRegistry(t, away)
			load.stopWithoutFailure(t, asEver)
		})
	}
	t.Run("while the operator is away, which changes nothing when it is back", func(t *testing.T) {
		load := startTraffic(t, ns)
		loseOperator(t)
		load.stopWithoutFailure(t, asEver)
	})
	t.Run("for two seconds at most, when a replica is killed", func(t *testing.T) {
		load := startTraffic(t, ns)
		time.Sleep(3 * time.Second)
		pod := replicasOf(t, trafficServer)[0]
		killed := time.Now()
		kill(t, pod)
		time.Sleep(10 * time.Second)
		eventuallyReplaced(t, trafficServer, nil, 2)
		failures := load.stop(t, asEver)
		t.Logf("%d admissions failed when a replica was killed", len(failures))
		if len(failures) > killedAtMost {
			t.Errorf("more than %d admissions failed when one of two replicas was killed", killedAtMost)
		}
		for _, failure := range failures {
			if failure.end.Before(killed) || failure.begin.After(killed.Add(killedWithin)) {
				t.Errorf("begun %s, ended %s after the kill: %s", failure.begin.Sub(killed), failure.end.Sub(killed), failure.text)
			}
		}
	})
	t.Run("and new replicas take their share", func(t *testing.T) {
		load := startTraffic(t, ns)
		time.Sleep(3 * time.Second)
		scale(t, 4)
		eventuallyReplaced(t, trafficServer, nil, 4)
		awaitEvenShares(t, 4)
		load.stopWithoutFailure(t, asEver)
	})
}

// trafficPolicy judges the Pods that traffic creates.
func trafficPolicy(t *testing.T, namespace, server string) *policiesv1.ClusterAdmissionPolicy {
	t.Helper()
	policy := newPolicy(t, namespace, moduleContainerLimits, cpuLimit(0))
	policy.Spec.PolicyServer = server
	policy.Spec.Rules[0].Operations = []admissionregistrationv1.OperationType{admissionregistrationv1.Create}
	return policy
}

// newServer is a policy server with two replicas that trusts the cluster's registry.
func newServer(t *testing.T, name string) *policiesv1.PolicyServer {
	t.Helper()
	authorities, err := sourceAuthorities()
	if err != nil {
		t.Fatal(err)
	}
	server := &policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: name}}
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

// counterJudged counts the requests that a replica judged.
const counterJudged = "kubewarden_policy_evaluations_total"

// counts are the values of a counter, by Pod, all series of one Pod added up.
func counts(t *testing.T, counter string) map[string]float64 {
	t.Helper()
	values := map[string]float64{}
	for _, pod := range replicasOf(t, trafficServer) {
		metrics := kubectl(t, "get", "--raw", fmt.Sprintf("/api/v1/namespaces/%s/pods/%s:8080/proxy/metrics", operatorNamespace, pod.Name))
		values[pod.Name] = 0
		for line := range strings.Lines(metrics) {
			if !strings.HasPrefix(line, counter+"{") && !strings.HasPrefix(line, counter+" ") {
				continue
			}
			fields := strings.Fields(line)
			value, err := strconv.ParseFloat(fields[len(fields)-1], 64)
			if err != nil {
				t.Fatalf("read %q: %v", line, err)
			}
			values[pod.Name] += value
		}
	}
	return values
}

// increases are how much a counter has grown, in the order of the Pods' names.
func increases(now, before map[string]float64) []float64 {
	grown := make([]float64, 0, len(now))
	for _, name := range slices.Sorted(maps.Keys(now)) {
		grown = append(grown, now[name]-before[name])
	}
	return grown
}

// A share is measured over shareWindows of shareStep each. In that time the API server makes
// some 80 connections, each to a replica of the Service's choice: the share of one of four
// replicas is 1/4 on average, and by chance below leastShare in one window of fifty.
const (
	shareStep    = 10 * time.Second
	shareWindows = 4
	leastShare   = 0.15
)

// awaitEvenShares waits until every replica takes its share.
func awaitEvenShares(t *testing.T, replicas int) {
	t.Helper()
	judged := []map[string]float64{counts(t, counterJudged)}
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		time.Sleep(shareStep)
		now := counts(t, counterJudged)
		if judged = append(judged, now); len(judged) <= shareWindows {
			continue
		}
		grown := increases(now, judged[len(judged)-1-shareWindows])
		t.Logf("in %s the replicas judged %.0f requests", shareWindows*shareStep, grown)
		if len(grown) == replicas && slices.Min(grown) > leastShare*sum(grown) {
			return
		}
	}
	t.Fatalf("in 2 minutes the replicas did not come to take more than %v of the requests each", leastShare)
}

func sum(values []float64) float64 {
	total := 0.0
	for _, value := range values {
		total += value
	}
	return total
}
