//go:build e2e

package e2e

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// mutualPatience is how long it may take to roll all policy servers out, and callers to be told of.
const mutualPatience = 3 * time.Minute

// TestNoAdmissionFailsWhileCertificatesAreDemanded switches mutual TLS on and off under traffic.
// The API server of the local cluster proves itself by the pair of its front proxy.
func TestNoAdmissionFailsWhileCertificatesAreDemanded(t *testing.T) {
	ns := namespace(t)
	frugal, greedy := limited(ns, smallLimit), limited(ns, largeLimit)
	create(t, frugal)
	create(t, greedy)
	policy := trafficPolicy(t, ns, policiesv1.DefaultPolicyServer)
	create(t, policy)
	eventuallyReady(t, policy, time.Minute)
	authority := kubectl(t, "--namespace=kube-system", "get", "configmap", "extension-apiserver-authentication",
		"--output=jsonpath={.data.requestheader-client-ca-file}")
	authorities := &corev1.ConfigMap{Data: map[string]string{"client-ca.crt": authority}}
	authorities.Namespace, authorities.Name = operatorNamespace, "e2e-api-server-ca"
	create(t, authorities)
	t.Cleanup(func() {
		kubectlAfter(t, "patch", "kubewarden", "kubewarden", "--type=merge", "--patch", `{"spec":{"mutualTLS":{"mode":"Disabled","clientCAConfigMap":null}}}`)
	})

	load := startTraffic(t, ns)
	demandCertificates(t, "Observe", metav1.ConditionFalse, operatorv1alpha1.ReasonNobodyUnproven)
	demandCertificates(t, "Require", metav1.ConditionTrue, operatorv1alpha1.ReasonCertificatesRequired)
	load.stopWithoutFailure(t, asEver)
	for _, pod := range replicasOf(t, policiesv1.DefaultPolicyServer) {
		if output, answered := asksWithoutCertificate(t, pod); answered {
			t.Errorf("Pod %s answers a caller without a certificate:\n%s", pod.Name, output)
		}
	}
	audit(t)
	byPolicy := "kw.cap." + policy.Name
	gomega.NewWithT(t).Expect(reportsIn(t, ns)).To(gomega.Equal(map[types.UID]verdicts{frugal.UID: {byPolicy: "pass"}, greedy.UID: {byPolicy: "fail"}}))
	if scanned := kubectl(t, "--namespace="+operatorNamespace, "logs", "--selector=app.kubernetes.io/component=audit-scanner", "--tail=-1"); bytes.Contains([]byte(scanned), []byte("remote error: tls")) {
		t.Errorf("policy servers refuse the audit scanner:\n%s", scanned)
	}

	load = startTraffic(t, ns)
	kubectl(t, "patch", "kubewarden", "kubewarden", "--type=merge", "--patch", `{"spec":{"mutualTLS":{"mode":"Disabled"}}}`)
	gomega.NewWithT(t).Eventually(func(g gomega.Gomega) {
		for _, pod := range replicasOf(t, policiesv1.DefaultPolicyServer) {
			output, answered := asksWithoutCertificate(t, pod)
			g.Expect(answered).To(gomega.BeTrue(), "Pod %s refuses a caller without a certificate: %s", pod.Name, output)
		}
	}).WithTimeout(mutualPatience).WithPolling(time.Second).Should(gomega.Succeed())
	load.stopWithoutFailure(t, asEver)
}

// demandCertificates sets the mode, and waits for what the condition says then.
func demandCertificates(t *testing.T, mode string, status metav1.ConditionStatus, reason string) {
	t.Helper()
	kubectl(t, "patch", "kubewarden", "kubewarden", "--type=merge", "--patch",
		`{"spec":{"mutualTLS":{"mode":"`+mode+`","clientCAConfigMap":"e2e-api-server-ca"}}}`)
	gomega.NewWithT(t).Eventually(func(g gomega.Gomega) {
		kubewarden := &operatorv1alpha1.Kubewarden{}
		g.Expect(cluster.Get(t.Context(), client.ObjectKey{Name: operatorv1alpha1.KubewardenName}, kubewarden)).To(gomega.Succeed())
		condition := apimeta.FindStatusCondition(kubewarden.Status.Conditions, operatorv1alpha1.ConditionMutualTLSReady)
		g.Expect(condition).NotTo(gomega.BeNil())
		g.Expect(condition.Reason).To(gomega.Equal(reason), condition.Message)
		g.Expect(condition.Status).To(gomega.Equal(status))
		g.Expect(condition.ObservedGeneration).To(gomega.Equal(kubewarden.Generation))
	}).WithTimeout(mutualPatience).WithPolling(time.Second).Should(gomega.Succeed())
}

// asksWithoutCertificate sends a request to a replica, and says whether there was an answer.
func asksWithoutCertificate(t *testing.T, pod corev1.Pod) (output string, answered bool) {
	t.Helper()
	request := filepath.Join(t.TempDir(), "request")
	if err := os.WriteFile(request, []byte("GET /nowhere HTTP/1.1\r\nHost: policy-server\r\nConnection: close\r\n\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	content, err := os.Open(request)
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	command := exec.CommandContext(t.Context(), "openssl", "s_client", "-quiet", "-connect", net.JoinHostPort(pod.Status.PodIP, "8443"))
	command.Stdin = content
	text, _ := command.CombinedOutput()
	return string(text), bytes.Contains(text, []byte("HTTP/1.1 "))
}
