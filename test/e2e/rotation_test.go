//go:build e2e && e2e_rotation

package e2e

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
)

// companyIssuer signs in the place of the operator's own authority.
const companyIssuer = "e2e-company"

// TestNoAdmissionFailsWhileTheSpecOfCertificatesChanges changes under traffic what the spec
// says of certificates: their keys, and where cert-manager is there, who signs.
func TestNoAdmissionFailsWhileTheSpecOfCertificatesChanges(t *testing.T) {
	ns := certificateTraffic(t)
	pods := replicasOf(t, certificateServer)
	t.Cleanup(func() {
		kubectlAfter(t, "patch", "kubewarden", "kubewarden", "--type=merge", "--patch",
			`{"spec":{"certificates":{"issuerRef":null,"privateKey":null}}}`)
	})

	t.Run("to other keys of the pairs", func(t *testing.T) {
		load := startTraffic(t, ns)
		before, authority := presentedBy(t), trusted(t)
		certificates(t, `{"privateKey":{"algorithm":"RSA"}}`)
		awaitPresented(t, time.Minute, before)
		for pod, certificate := range presentedBy(t) {
			if algorithm := parsed(t, certificate).PublicKeyAlgorithm; algorithm != x509.RSA {
				t.Errorf("Pod %s presents a key of the algorithm %s", pod, algorithm)
			}
		}
		if now := trusted(t); now != authority {
			t.Errorf("another authority than before is trusted:\n%s", now)
		}
		load.stopWithoutFailure(t, asEver)
	})
	if provider(t) == operatorv1alpha1.CertificateProviderCertManager {
		issuersChange(t, ns)
	}
	for _, pod := range replicasOf(t, certificateServer) {
		if pod.UID != pods[0].UID && pod.UID != pods[1].UID {
			t.Errorf("Pod %s is new, and all that was to change are certificates", pod.Name)
		}
	}
}

// issuersChange has an issuer sign in the place of the operator's own authority, and that again.
func issuersChange(t *testing.T, ns string) {
	t.Helper()
	makeIssuer(t, companyIssuer)
	t.Run("to an issuer in the place of the own authority", func(t *testing.T) {
		takesOver(t, ns, func() {
			certificates(t, fmt.Sprintf(`{"issuerRef":{"kind":"ClusterIssuer","name":%q}}`, companyIssuer))
		})
		if name := parsed(t, trusted(t)).Subject.CommonName; name != companyIssuer {
			t.Errorf("trusted is the authority %s, want %s", name, companyIssuer)
		}
		if issuer := kubewarden(t).Status.CertificateIssuer; issuer == nil || issuer.Name != companyIssuer {
			t.Errorf("the status names the issuer %v, want %s", issuer, companyIssuer)
		}
		if left := kubectl(t, "--namespace="+operatorNamespace, "get", "secrets,issuers,certificates", "--output=name"); strings.Contains(left, "kubewarden-ca-cm") {
			t.Errorf("of the own authority is left: %s", left)
		}
	})
	t.Run("to other pairs of the issuer, because somebody asks for them", func(t *testing.T) {
		load := startTraffic(t, ns)
		before := presentedBy(t)
		askForOthers(t)
		awaitPresented(t, time.Minute, before)
		load.stopWithoutFailure(t, asEver)
	})
	t.Run("to the own authority again", func(t *testing.T) {
		takesOver(t, ns, func() { certificates(t, `{"issuerRef":null}`) })
	})
}

// certificates changes spec.certificates.
func certificates(t *testing.T, patch string) {
	t.Helper()
	kubectl(t, "patch", "kubewarden", "kubewarden", "--type=merge", "--patch", `{"spec":{"certificates":`+patch+`}}`)
}

func parsed(t *testing.T, text string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		t.Fatalf("%q holds no certificate", text)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// makeIssuer makes an issuer for the whole cluster, with an authority of its own.
func makeIssuer(t *testing.T, name string) {
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
