//go:build e2e

package e2e

import (
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/signature/signaturetest"
)

// The key of a module that enforces is revoked, and trusted again.
func TestAModuleWhoseKeyIsRevokedServesNoLonger(t *testing.T) {
	g := gomega.NewWithT(t)
	ns := namespace(t)
	trusted, other := newSigner(t), newSigner(t)
	g.Expect(trusted.Sign(inRegistry(t, modulePodPrivileged), toRegistry(t)...)).To(gomega.Succeed())
	demands := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: "demands-" + ns}}
	demand(demands, trusted)
	create(t, demands)
	authorities, err := sourceAuthorities()
	g.Expect(err).NotTo(gomega.HaveOccurred())
	server := &policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: ns}}
	server.Spec.Replicas, server.Spec.SourceAuthorities, server.Spec.VerificationConfig = new(int32(2)), authorities, demands.Name
	create(t, server)

	signed := newPolicy(t, ns, modulePodPrivileged, map[string]any{})
	signed.Spec.PolicyServer = server.Name
	create(t, signed)
	eventuallyReady(t, signed, time.Minute)
	g.Expect(attempt(t, newPod(ns))).To(gomega.Succeed())
	unsigned := newPolicy(t, ns, moduleRequiredLabels, map[string]any{"mandatory_labels": []string{"cost-center"}})
	unsigned.Spec.PolicyServer = server.Name
	create(t, unsigned)
	g.Expect(eventuallyRefused(t, unsigned).Reason).To(gomega.Equal("Unverified"))
	g.Expect(attempt(t, newPod(ns))).To(gomega.Succeed(), "a policy that never was served gets no webhook")

	redemand(t, server, demands, other)
	g.Eventually(func() error { return attempt(t, newPod(ns)) }).WithTimeout(2*time.Minute).WithPolling(200*time.Millisecond).
		Should(gomega.MatchError(gomega.ContainSubstring("cannot be verified")), "the webhook stays, and the server that proved nothing denies")
	g.Expect(eventuallyRefused(t, signed).Reason).To(gomega.Equal("Unverified"))

	redemand(t, server, demands, trusted)
	eventuallyReady(t, signed, 2*time.Minute)
	g.Expect(attempt(t, newPod(ns))).To(gomega.Succeed())
	g.Expect(attempt(t, privileged(newPod(ns)))).To(gomega.MatchError(gomega.ContainSubstring("Privileged container is not allowed")))
}

func newSigner(t *testing.T) *signaturetest.Signer {
	t.Helper()
	signer, err := signaturetest.NewSigner()
	gomega.NewWithT(t).Expect(err).NotTo(gomega.HaveOccurred())
	return signer
}

func demand(demands *corev1.ConfigMap, signer *signaturetest.Signer) {
	demands.Data = map[string]string{"verification-config": string(signer.Verification())}
}

// redemand changes what a policy server demands.
func redemand(t *testing.T, server *policiesv1.PolicyServer, demands *corev1.ConfigMap, signer *signaturetest.Signer) {
	t.Helper()
	demand(demands, signer)
	gomega.NewWithT(t).Expect(cluster.Update(t.Context(), demands)).To(gomega.Succeed())
	touch(t, server.Name)
}
