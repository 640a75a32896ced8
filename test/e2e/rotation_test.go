//go:build e2e && e2e_rotation

package e2e

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
)

// rotationPatience is how long another authority may take to take over: two minutes for what
// is mounted, as long again for kubelets that look late, and the seconds that API servers get.
const rotationPatience = 8 * time.Minute

// companyIssuer signs in the place of the operator's own authority.
const companyIssuer = "e2e-company"

// TestCertificatesChangeUnderTraffic changes, at 200 admissions a second, whatever of
// certificates can change: the authority's key, the pairs alone, and where cert-manager is
// there, who signs. No admission fails, and at the end the authority before is trusted no more.
func TestCertificatesChangeUnderTraffic(t *testing.T) {
	ns := namespace(t)
	create(t, newServer(t, trafficServer))
	policy := newPolicy(t, ns, moduleContainerLimits, cpuLimit(0))
	policy.Spec.PolicyServer = trafficServer
	policy.Spec.Rules[0].Operations = []admissionregistrationv1.OperationType{admissionregistrationv1.Create}
	create(t, policy)
	eventuallyReady(t, policy, time.Minute)
	eventuallyReplaced(t, trafficServer, nil, 2)
	pods := replicasOf(t, trafficServer)
	certManager := strings.Contains(kubectl(t, "get", "crds", "--output=name"), "certificates.cert-manager.io")
	t.Cleanup(func() {
		kubectlAfter(t, "patch", "kubewarden", "kubewarden", "--type=merge", "--patch",
			`{"spec":{"certificates":{"issuerRef":null,"privateKey":null}}}`)
	})

	t.Run("the authority, because somebody asks for it", func(t *testing.T) {
		takesOver(t, ns, func() {
			kubectl(t, "annotate", "kubewarden", "kubewarden", "--overwrite", "kubewarden.io/rekey="+time.Now().Format(time.RFC3339Nano))
			if certManager { // which is away for a moment
				kubectl(t, "--namespace=cert-manager", "rollout", "restart", "deployment")
			}
		})
	})
	t.Run("the pairs alone, because the spec asks for other keys", func(t *testing.T) {
		before := published(t)
		underTraffic(t, ns, func(g gomega.Gomega) {
			for _, pod := range pods {
				chain, err := chainOf(t.Context(), pod)
				g.Expect(err).NotTo(gomega.HaveOccurred())
				g.Expect(chain[0].PublicKeyAlgorithm).To(gomega.Equal(x509.RSA), pod.Name)
			}
		}, func() { certificates(t, `{"privateKey":{"algorithm":"RSA"}}`) })
		if after := published(t); !bytes.Equal(after, before) {
			t.Errorf("there is another authority, and pairs alone were to change:\n%s", after)
		}
	})
	if certManager {
		issuersChange(t, ns, pods)
	}
	if after := replicasOf(t, trafficServer); len(after) != 2 || after[0].UID != pods[0].UID && after[0].UID != pods[1].UID {
		t.Errorf("replicas were replaced, and all that was to change are certificates")
	}
}

// issuersChange has an issuer sign in the place of the operator's own authority, and that again.
func issuersChange(t *testing.T, ns string, pods []corev1.Pod) {
	t.Helper()
	signIn(t, companyIssuer)
	t.Run("who signs: an issuer in the place of the own authority", func(t *testing.T) {
		takesOver(t, ns, func() {
			certificates(t, fmt.Sprintf(`{"issuerRef":{"kind":"ClusterIssuer","name":%q}}`, companyIssuer))
		})
		if name := authorities(t, published(t))[0].Subject.CommonName; name != companyIssuer {
			t.Errorf("trusted is the authority %s, want %s", name, companyIssuer)
		}
		if got := kubectl(t, "get", "kubewarden", "--output=jsonpath={.items[0].status.certificateIssuer.name}"); got != companyIssuer {
			t.Errorf("the status names the issuer %q, want %s", got, companyIssuer)
		}
		if got := kubectl(t, "--namespace="+operatorNamespace, "get", "secrets,issuers,certificates", "--output=name"); strings.Contains(got, "kubewarden-ca-cm") {
			t.Errorf("of the own authority is left: %s", got)
		}
	})
	t.Run("the issuer's pairs, because somebody asks for it", func(t *testing.T) {
		before := presented(t, pods[0])[0]
		underTraffic(t, ns, func(g gomega.Gomega) {
			for _, pod := range pods {
				chain, err := chainOf(t.Context(), pod)
				g.Expect(err).NotTo(gomega.HaveOccurred())
				g.Expect(chain[0].NotBefore).To(gomega.BeTemporally(">", before.NotBefore), pod.Name)
			}
		}, func() {
			kubectl(t, "annotate", "kubewarden", "kubewarden", "--overwrite", "kubewarden.io/rekey="+time.Now().Format(time.RFC3339Nano))
		})
	})
	t.Run("who signs: the own authority again", func(t *testing.T) {
		takesOver(t, ns, func() { certificates(t, `{"issuerRef":null}`) })
	})
}

// certificates changes spec.certificates.
func certificates(t *testing.T, patch string) {
	t.Helper()
	kubectl(t, "patch", "kubewarden", "kubewarden", "--type=merge", "--patch", `{"spec":{"certificates":`+patch+`}}`)
}

// takesOver does something by which another authority takes over, and waits under traffic until
// it has: the one before is trusted no more, and every replica presents what the new one signed.
func takesOver(t *testing.T, ns string, begin func()) {
	t.Helper()
	before := authorities(t, published(t))
	underTraffic(t, ns, func(g gomega.Gomega) {
		now := authorities(t, published(t))
		g.Expect(now).To(gomega.HaveLen(1))
		g.Expect(now[0].Equal(before[0])).To(gomega.BeFalse(), "the authority before is trusted still: %s", rekeying(t))
		kubewarden := theKubewarden(t)
		g.Expect(kubewarden.Status.Rekeying).To(gomega.BeNil())
		ready := apimeta.FindStatusCondition(kubewarden.Status.Conditions, operatorv1alpha1.ConditionCertificatesReady)
		g.Expect(ready).NotTo(gomega.BeNil())
		g.Expect(ready.Status).To(gomega.Equal(metav1.ConditionTrue), ready.Message)
	}, begin)
	for _, bundle := range caBundles(t) {
		if !bytes.Equal(bundle, published(t)) {
			t.Errorf("a webhook trusts others than the authority that signs:\n%s", bundle)
		}
	}
	for _, pod := range replicasOf(t, trafficServer) {
		chain := presented(t, pod)
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(published(t))
		if _, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: "policy-server-" + trafficServer + "." + operatorNamespace + ".svc"}); err != nil {
			t.Errorf("Pod %s presents what the published authority does not vouch for: %v", pod.Name, err)
		}
		if chain[0].CheckSignatureFrom(before[0]) == nil {
			t.Errorf("Pod %s presents what the authority before signed", pod.Name)
		}
	}
}

// underTraffic does something under traffic, which goes on until it has come about and for some
// seconds more. No admission may fail.
func underTraffic(t *testing.T, ns string, done func(gomega.Gomega), begin func()) {
	t.Helper()
	const piece, more = 3 * time.Minute, 15 * time.Second
	load := startTraffic(t, ns)
	begin()
	reached := false
	for end := time.Now().Add(rotationPatience); !reached && time.Now().Before(end); {
		reached = gomega.NewGomega(func(message string, _ ...int) { t.Log("so far: " + message) }).
			Eventually(done).WithTimeout(piece).WithPolling(2 * time.Second).Should(gomega.Succeed())
		before := load
		load = startTraffic(t, ns)
		before.stopWithoutFailure(t, asEver)
	}
	time.Sleep(more) // of traffic with what is in force now
	load.stopWithoutFailure(t, asEver)
	if !reached {
		t.Fatalf("it has not come about in %s: %s", rotationPatience, rekeying(t))
	}
}

func theKubewarden(t *testing.T) *operatorv1alpha1.Kubewarden {
	t.Helper()
	kubewarden := &operatorv1alpha1.Kubewarden{}
	gomega.NewWithT(t).Expect(cluster.Get(t.Context(), client.ObjectKey{Name: operatorv1alpha1.KubewardenName}, kubewarden)).To(gomega.Succeed())
	return kubewarden
}

// rekeying is what the status tells of certificates.
func rekeying(t *testing.T) string {
	t.Helper()
	return kubectl(t, "get", "kubewarden", "kubewarden", `--output=jsonpath={.status.conditions[?(@.type=="CertificatesReady")].message}`)
}

// published is what is told to be trusted.
func published(t *testing.T) []byte {
	t.Helper()
	secret := &corev1.Secret{}
	gomega.NewWithT(t).Expect(cluster.Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: "kubewarden-ca"}, secret)).To(gomega.Succeed())
	return append(secret.Data["ca.crt"], secret.Data["old-ca.crt"]...)
}

// caBundles are what the webhooks trust that call the policy server.
func caBundles(t *testing.T) [][]byte {
	t.Helper()
	webhooks := &admissionregistrationv1.ValidatingWebhookConfigurationList{}
	gomega.NewWithT(t).Expect(cluster.List(t.Context(), webhooks)).To(gomega.Succeed())
	var bundles [][]byte
	for i := range webhooks.Items {
		for _, webhook := range webhooks.Items[i].Webhooks {
			if service := webhook.ClientConfig.Service; service != nil && service.Name == "policy-server-"+trafficServer {
				bundles = append(bundles, webhook.ClientConfig.CABundle)
			}
		}
	}
	if len(bundles) == 0 {
		t.Fatal("no webhook calls the policy server")
	}
	return bundles
}

func authorities(t *testing.T, text []byte) []*x509.Certificate {
	t.Helper()
	var found []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, certificate)
	}
	if len(found) == 0 {
		t.Fatalf("%q holds no certificate", text)
	}
	return found
}

// signIn makes an issuer for the whole cluster, with an authority of its own.
func signIn(t *testing.T, name string) {
	t.Helper()
	const namespace = "cert-manager"
	object := func(kind, namespace, name string, spec map[string]any) {
		made := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "cert-manager.io/v1", "kind": kind, "metadata": map[string]any{"name": name}, "spec": spec,
		}}
		made.SetNamespace(namespace)
		gomega.NewWithT(t).Expect(cluster.Create(t.Context(), made)).To(gomega.Succeed())
		t.Cleanup(func() { remove(context.Background(), t, made) })
	}
	object("Issuer", namespace, name+"-self", map[string]any{"selfSigned": map[string]any{}})
	object("Certificate", namespace, name, map[string]any{
		"isCA": true, "commonName": name, "secretName": name, "duration": "24h",
		"issuerRef": map[string]any{"name": name + "-self"},
	})
	object("ClusterIssuer", "", name, map[string]any{"ca": map[string]any{"secretName": name}})
	t.Cleanup(func() {
		secret := &corev1.Secret{}
		secret.Namespace, secret.Name = namespace, name
		remove(context.Background(), t, secret)
	})
}
