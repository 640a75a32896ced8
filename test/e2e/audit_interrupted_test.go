//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestAScanGoesOnWithoutThePolicyServerItAsked takes a policy server away when a scan has
// written the first reports: these stay, the others say that there is no verdict, and the next
// scan sets all of them right.
func TestAScanGoesOnWithoutThePolicyServerItAsked(t *testing.T) {
	g := gomega.NewWithT(t)
	const server, objects = "e2e-audit", 100
	ns := namespace(t)
	createConfigMaps(t, ns, objects)
	lone := newServer(t, server)
	lone.Spec.Replicas = new(int32(1))
	create(t, lone)
	policy := newPolicy(t, ns, moduleRequiredLabels, map[string]any{"mandatory_labels": []string{"team"}})
	policy.Spec.PolicyServer = server
	policy.Spec.Rules[0].Resources = []string{"configmaps"}
	create(t, policy)
	eventuallyReady(t, policy, auditPatience)
	configureAudit(t, `{"parallelResources":20}`)
	t.Cleanup(func() { configureAudit(t, `{"parallelResources":null}`) })

	value := requestAudit(t)
	goOn := holdScan(t, ns, value)
	bringBack := loseServer(t, server)
	goOn()
	auditEnds(t, value)
	count := outcomes(t, ns)
	g.Expect(count["pass"]+count["fail"]).To(gomega.BeNumerically(">", 0), "what was known is kept: %v", count)
	g.Expect(count["error"]).To(gomega.BeNumerically(">", 0), "what could not be asked is an error: %v", count)
	told := auditStatus(t).LastFinished.Summary
	g.Expect(told).NotTo(gomega.BeNil())
	g.Expect(told.Error).To(gomega.BeEquivalentTo(count["error"]), "the status tells of as many as the reports")
	g.Expect(count["pass"]+count["fail"]+count["error"]).To(gomega.Equal(objects+1), "no object is without a report: %v", count)
	g.Expect(kubectl(t, "--namespace", ns, "get", "policyreports.wgpolicyk8s.io", "--output=jsonpath={.items[*].results[?(@.result==\"error\")].message}")).
		To(gomega.MatchRegexp("connect|the policy server does not answer|no replica"))

	bringBack()
	audit(t)
	// The cluster puts one more, without labels, into every namespace.
	g.Expect(outcomes(t, ns)).To(gomega.Equal(map[string]int{"pass": objects / 2, "fail": objects/2 + 1}))
}

// createConfigMaps makes so many; every other one has the label team.
func createConfigMaps(t *testing.T, ns string, count int) {
	t.Helper()
	var list strings.Builder
	for i := range count {
		label := [...]string{"team", "cost-center"}[i%2]
		fmt.Fprintf(&list, "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: e2e-%03d, namespace: %s, labels: {%s: storage}}}\n", i, ns, label)
	}
	file := filepath.Join(t.TempDir(), "configmaps.yaml")
	if err := os.WriteFile(file, []byte(list.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	kubectl(t, "create", "--filename", file)
}

// holdScan waits until the scan that was asked for by the value has written a report in the
// namespace, and stops its process until it is told to go on.
func holdScan(t *testing.T, ns, value string) (goOn func()) {
	t.Helper()
	g := gomega.NewWithT(t)
	pid := scannerOf(t, value)
	reports := &metav1.PartialObjectMetadataList{}
	reports.SetGroupVersionKind(schema.GroupVersionKind{Group: "wgpolicyk8s.io", Version: "v1alpha2", Kind: "PolicyReportList"})
	g.Eventually(func(g gomega.Gomega) {
		g.Expect(cluster.List(t.Context(), reports, client.InNamespace(ns), client.Limit(1))).To(gomega.Succeed())
		g.Expect(reports.Items).NotTo(gomega.BeEmpty())
	}).WithTimeout(auditPatience).WithPolling(5 * time.Millisecond).Should(gomega.Succeed())
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatalf("stop the scanner: %v", err)
	}
	goOn = func() { _ = syscall.Kill(pid, syscall.SIGCONT) } // it may have ended
	t.Cleanup(goOn)
	return goOn
}

// scannerOf is the process of the scan that was asked for by the value, once it runs.
func scannerOf(t *testing.T, value string) int {
	t.Helper()
	pods, pid := &corev1.PodList{}, 0
	gomega.NewWithT(t).Eventually(func(g gomega.Gomega) {
		run := lastRequest(t)
		g.Expect(run.Value).To(gomega.Equal(value))
		g.Expect(cluster.List(t.Context(), pods, client.InNamespace(operatorNamespace), client.MatchingLabels{batchv1.JobNameLabel: run.JobName})).To(gomega.Succeed())
		g.Expect(pods.Items).To(gomega.HaveLen(1))
		// A container has the name of its Pod for a name of the host.
		found, runs := findProcess(t, "audit-scanner", "HOSTNAME="+pods.Items[0].Name)
		g.Expect(runs).To(gomega.BeTrue())
		pid = found
	}).WithTimeout(auditPatience).WithPolling(50 * time.Millisecond).Should(gomega.Succeed())
	return pid
}

// loseServer takes the Pods of a policy server away, and the node that others could start on.
func loseServer(t *testing.T, server string) (bringBack func()) {
	t.Helper()
	node := replicasOf(t, server)[0].Spec.NodeName
	bringBack = func() {
		kubectlAfter(t, "uncordon", node)
		gomega.NewWithT(t).Eventually(func(g gomega.Gomega) {
			replicas := replicasOf(t, server)
			g.Expect(replicas).To(gomega.HaveLen(1))
			g.Expect(isReady(replicas[0])).To(gomega.BeTrue())
		}).WithTimeout(auditPatience).WithPolling(200 * time.Millisecond).Should(gomega.Succeed())
	}
	t.Cleanup(func() { kubectlAfter(t, "uncordon", node) })
	kubectl(t, "cordon", node)
	for _, pod := range replicasOf(t, server) {
		gomega.NewWithT(t).Expect(cluster.Delete(t.Context(), &pod, client.GracePeriodSeconds(0))).To(gomega.Succeed())
		gomega.NewWithT(t).Eventually(func() error {
			connection, err := net.DialTimeout("tcp", net.JoinHostPort(pod.Status.PodIP, "8443"), time.Second)
			if err == nil {
				err = connection.Close()
			}
			return err
		}).WithTimeout(auditPatience).WithPolling(100*time.Millisecond).ShouldNot(gomega.Succeed(), "Pod %s still answers", pod.Name)
	}
	return bringBack
}

// outcomes counts the results in a namespace.
func outcomes(t *testing.T, ns string) map[string]int {
	t.Helper()
	count := map[string]int{}
	for _, found := range reportsIn(t, ns) {
		for _, outcome := range found {
			count[outcome]++
		}
	}
	return count
}
