//go:build e2e

package e2e

import (
	"encoding/json"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// certificateServer is a policy server of its own, so that only its certificates are looked at.
const certificateServer = "e2e-certificates"

// rekeyed is how long another authority may take to be the only one: twice in it two minutes
// are waited for, since what is mounted may lag behind for so long.
const rekeyed = 8 * time.Minute

// TestNoAdmissionFailsWhileCertificatesChange has certificates changed under traffic, by
// whichever provider issues them here, and has openssl look at what is presented.
func TestNoAdmissionFailsWhileCertificatesChange(t *testing.T) {
	ns := certificateTraffic(t)
	t.Run("while a pair is renewed", func(t *testing.T) {
		load := startTraffic(t, ns)
		before, authority := presentedBy(t), trusted(t)
		renew(t)
		awaitPresented(t, time.Minute, before)
		if now := trusted(t); now != authority {
			t.Errorf("another authority than before is trusted:\n%s", now)
		}
		load.stopWithoutFailure(t, asEver)
	})
	t.Run("while another authority takes over", func(t *testing.T) {
		takesOver(t, ns, func() {
			askForOthers(t)
			if provider(t) == operatorv1alpha1.CertificateProviderCertManager { // which is away for a moment
				kubectl(t, "--namespace", "cert-manager", "rollout", "restart", "deployment")
			}
		})
	})
}

// certificateTraffic makes the policy server, and a policy for the Pods of a namespace.
func certificateTraffic(t *testing.T) (ns string) {
	t.Helper()
	ns = namespace(t)
	create(t, newServer(t, certificateServer))
	policy := trafficPolicy(t, ns, certificateServer)
	create(t, policy)
	eventuallyReady(t, policy, time.Minute)
	eventuallyReplaced(t, certificateServer, nil, 2)
	return ns
}

// takesOver does something by which another authority takes over, and waits under traffic
// until the one before is trusted no more.
func takesOver(t *testing.T, ns string, begin func()) {
	t.Helper()
	load := startTraffic(t, ns)
	before, authority := presentedBy(t), trusted(t)
	begin()
	gomega.NewWithT(t).Eventually(func() string { return certificatesReason(t) }).WithTimeout(30 * time.Second).
		Should(gomega.Equal(operatorv1alpha1.ReasonRekeying))
	awaitPresented(t, rekeyed, before)
	awaitForgotten(t, authority)
	load.stopWithoutFailure(t, asEver)
}

func provider(t *testing.T) operatorv1alpha1.CertificateProvider {
	t.Helper()
	return kubewarden(t).Status.CertificateProvider
}

func kubewarden(t *testing.T) *operatorv1alpha1.Kubewarden {
	t.Helper()
	kubewarden := &operatorv1alpha1.Kubewarden{}
	gomega.NewWithT(t).Expect(cluster.Get(t.Context(), client.ObjectKey{Name: operatorv1alpha1.KubewardenName}, kubewarden)).To(gomega.Succeed())
	return kubewarden
}

// renew has the pair of the policy server issued again, as an administrator would.
func renew(t *testing.T) {
	t.Helper()
	const name = "policy-server-" + certificateServer
	if provider(t) != operatorv1alpha1.CertificateProviderCertManager {
		kubectl(t, "--namespace", operatorNamespace, "delete", "secret", name+"-issued")
		return
	}
	condition, err := json.Marshal([]any{map[string]any{"op": "add", "path": "/status/conditions/-", "value": map[string]any{
		"type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "asked for by a test",
		"lastTransitionTime": time.Now().UTC().Format(time.RFC3339),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	kubectl(t, "--namespace", operatorNamespace, "patch", "certificate", name+"-issued", "--subresource=status", "--type=json", "--patch", string(condition))
}

// askForOthers asks for other certificates than those that are in use.
func askForOthers(t *testing.T) {
	t.Helper()
	kubectl(t, "annotate", "kubewarden", operatorv1alpha1.KubewardenName, "--overwrite", operatorv1alpha1.AnnotationRekey+"="+time.Now().Format(time.RFC3339Nano))
}

func certificatesReason(t *testing.T) string {
	t.Helper()
	condition := apimeta.FindStatusCondition(kubewarden(t).Status.Conditions, operatorv1alpha1.ConditionCertificatesReady)
	if condition == nil {
		return ""
	}
	return condition.Reason
}

// trusted are the authorities that webhooks of the policy server trust, in PEM: all of them
// the same.
func trusted(t *testing.T) string {
	t.Helper()
	webhooks := &admissionregistrationv1.ValidatingWebhookConfigurationList{}
	gomega.NewWithT(t).Expect(cluster.List(t.Context(), webhooks, client.MatchingLabels{"app.kubernetes.io/part-of": "kubewarden"})).To(gomega.Succeed())
	bundles := map[string]bool{}
	for _, configuration := range webhooks.Items {
		for _, webhook := range configuration.Webhooks {
			if service := webhook.ClientConfig.Service; service != nil && service.Name == "policy-server-"+certificateServer {
				bundles[string(webhook.ClientConfig.CABundle)] = true
			}
		}
	}
	if len(bundles) != 1 {
		t.Fatalf("the webhooks of PolicyServer %s have %d different caBundles", certificateServer, len(bundles))
	}
	for bundle := range bundles {
		return bundle
	}
	return ""
}

// presentedBy tells by Pod what openssl is shown of a certificate, and fails the test where it
// is of no authority that the webhooks trust, or of another name than they call.
func presentedBy(t *testing.T) map[string]string {
	t.Helper()
	authorities := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(authorities, []byte(trusted(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	presented := map[string]string{}
	for _, pod := range replicasOf(t, certificateServer) {
		presented[pod.Name] = handshake(t, pod, authorities)
	}
	return presented
}

// handshake returns the certificate that a replica presents, in PEM.
func handshake(t *testing.T, pod corev1.Pod, authorities string) string {
	t.Helper()
	name := "policy-server-" + certificateServer + "." + operatorNamespace + ".svc"
	command := exec.CommandContext(t.Context(), "openssl", "s_client", "-connect", net.JoinHostPort(pod.Status.PodIP, "8443"),
		"-servername", name, "-verify_hostname", name, "-CAfile", authorities, "-verify_return_error")
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("openssl does not accept what Pod %s presents: %v\n%s", pod.Name, err, output)
	}
	certificate, _ := pem.Decode(output)
	if certificate == nil {
		t.Fatalf("openssl shows no certificate of Pod %s:\n%s", pod.Name, output)
	}
	return string(pem.EncodeToMemory(certificate))
}

// awaitPresented waits until no replica presents what it did before. The kubelet would bring
// what is mounted to the Pods within two minutes; a changed annotation has it look at once.
func awaitPresented(t *testing.T, patience time.Duration, before map[string]string) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func(g gomega.Gomega) {
		touch(t, certificateServer)
		for pod, certificate := range presentedBy(t) {
			g.Expect(certificate).NotTo(gomega.Equal(before[pod]), "Pod %s presents what it did before", pod)
		}
	}).WithTimeout(patience).WithPolling(time.Second).Should(gomega.Succeed())
}

// awaitForgotten waits until an authority is trusted by no webhook and published no more.
func awaitForgotten(t *testing.T, authority string) {
	t.Helper()
	g := gomega.NewWithT(t)
	g.Eventually(func(g gomega.Gomega) {
		touch(t, policiesv1.DefaultPolicyServer)
		g.Expect(certificatesReason(t)).To(gomega.Equal(operatorv1alpha1.ReasonIssued))
	}).WithTimeout(rekeyed).WithPolling(time.Second).Should(gomega.Succeed())
	g.Eventually(func() string { return trusted(t) }).WithTimeout(promptly).ShouldNot(gomega.ContainSubstring(authority))
	published := &corev1.Secret{}
	g.Expect(cluster.Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: "kubewarden-ca"}, published)).To(gomega.Succeed())
	g.Expect(string(published.Data["ca.crt"])).To(gomega.Equal(trusted(t)))
	g.Expect(published.Data["old-ca.crt"]).To(gomega.BeEmpty())
	presentedBy(t)
}
