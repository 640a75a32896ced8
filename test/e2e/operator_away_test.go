//go:build e2e

package e2e

import (
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	operatorDeployment = "deployment/kubewarden-operator"
	operatorLease      = "a4ddbf36.kubewarden.io"
	// settling is how long an operator that has just begun to lead is watched: it looks at
	// every object once in that time.
	settling = 10 * time.Second
)

// loseOperator takes the operator away, for a while and by a kill, and checks each time that
// nothing of what it made is written again when it is back.
func loseOperator(t *testing.T) {
	t.Helper()
	before, leader := atRest(t), operatorLeader(t)
	t.Cleanup(func() { restoreOperator(t) })
	kubectl(t, "--namespace", operatorNamespace, "scale", operatorDeployment, "--replicas=0")
	gomega.NewWithT(t).Eventually(func() []corev1.Pod { return operatorPods(t) }).WithTimeout(time.Minute).Should(gomega.BeEmpty())
	time.Sleep(settling)
	restoreOperator(t)
	leader = awaitOtherLeader(t, leader)
	time.Sleep(settling)
	unchanged(t, before, "the operator was scaled to 0 and back")

	for _, pod := range operatorPods(t) {
		pid := processWith(t, "operator", "HOSTNAME="+pod.Name)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatalf("kill the operator's Pod %s: %v", pod.Name, err)
		}
	}
	awaitOtherLeader(t, leader)
	time.Sleep(settling)
	unchanged(t, before, "the operator was killed")
}

func restoreOperator(t *testing.T) {
	t.Helper()
	kubectlAfter(t, "--namespace", operatorNamespace, "scale", operatorDeployment, "--replicas=2")
	kubectlAfter(t, "--namespace", operatorNamespace, "rollout", "status", operatorDeployment, "--timeout=2m")
}

func operatorPods(t *testing.T) []corev1.Pod {
	t.Helper()
	pods := &corev1.PodList{}
	gomega.NewWithT(t).Expect(cluster.List(t.Context(), pods, client.InNamespace(operatorNamespace),
		client.MatchingLabels{"app.kubernetes.io/component": "operator"})).To(gomega.Succeed())
	return pods.Items
}

// operatorLeader is the process of the operator that leads.
func operatorLeader(t *testing.T) string {
	t.Helper()
	lease := &coordinationv1.Lease{}
	gomega.NewWithT(t).Expect(cluster.Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: operatorLease}, lease)).
		To(gomega.Succeed())
	if lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

// awaitOtherLeader waits for a leader that is not the one before.
func awaitOtherLeader(t *testing.T, before string) string {
	t.Helper()
	leader := ""
	gomega.NewWithT(t).Eventually(func() string {
		leader = operatorLeader(t)
		return leader
	}).WithTimeout(time.Minute).ShouldNot(gomega.Or(gomega.BeEmpty(), gomega.Equal(before)))
	return leader
}

// versions are the resource versions of everything that the operator made, of what it is told
// by and of its own webhooks. What runs on a schedule of its own is left out: audits.
func versions(t *testing.T) map[string]string {
	t.Helper()
	kinds := strings.Fields(kubectl(t, "api-resources", "--verbs=list", "--output=name"))
	kinds = slices.DeleteFunc(kinds, func(kind string) bool {
		return strings.Contains(kind, "report") || strings.HasPrefix(kind, "leases.") || strings.HasPrefix(kind, "events") ||
			strings.HasSuffix(kind, ".batch") || kind == "componentstatuses" || strings.HasSuffix(kind, ".metrics.k8s.io")
	})
	found := map[string]string{}
	for _, query := range [][]string{
		{strings.Join(kinds, ","), "--selector=app.kubernetes.io/managed-by=kubewarden-controller,app.kubernetes.io/component!=audit-scanner"},
		{"validatingwebhookconfigurations,mutatingwebhookconfigurations", "--selector=app.kubernetes.io/part-of=kubewarden"},
		{"kubewardens,policyservers,clusteradmissionpolicies,admissionpolicies,clusteradmissionpolicygroups,admissionpolicygroups"},
	} {
		const columns = `jsonpath={range .items[*]}{.kind}/{.metadata.namespace}/{.metadata.name} {.metadata.resourceVersion} {.metadata.deletionTimestamp}{"\n"}{end}`
		output := kubectl(t, append([]string{"get", "--all-namespaces", "--ignore-not-found", "--output=" + columns}, query...)...)
		for line := range strings.Lines(output) {
			switch fields := strings.Fields(line); len(fields) {
			case 2:
				found[fields[0]] = fields[1]
			case 3: // it is being deleted, by an earlier test
			default:
				t.Fatalf("kubectl printed %q", line)
			}
		}
	}
	return found
}

// atRest waits until nothing has been written for a while, such as by the end of a roll-out:
// the Pods that went are still to leave addresses, statuses and reports.
func atRest(t *testing.T) map[string]string {
	t.Helper()
	before := versions(t)
	gomega.NewWithT(t).Eventually(func() map[string]string {
		earlier := before
		time.Sleep(settling)
		before = versions(t)
		return earlier
	}).WithTimeout(2*time.Minute).WithPolling(time.Millisecond).Should(gomega.Satisfy(func(earlier map[string]string) bool {
		return maps.Equal(earlier, before)
	}), "the cluster comes to rest")
	return before
}

// unchanged fails for every object that was written, made or deleted since.
func unchanged(t *testing.T, before map[string]string, what string) {
	t.Helper()
	after := versions(t)
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if after[name] != before[name] {
			t.Errorf("%s: %s had version %s, has %q", what, name, before[name], after[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if _, known := before[name]; !known {
			t.Errorf("%s: %s is new", what, name)
		}
	}
	t.Logf("%s: looked at %d objects", what, len(after))
}
