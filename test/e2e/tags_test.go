//go:build e2e

package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/onsi/gomega"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

func TestATagThatMovedIsResolvedAgainWhenAskedTo(t *testing.T) {
	g := gomega.NewWithT(t)
	ns := namespace(t)
	moving := "moving:" + ns
	moveTag(t, moving, modulePodPrivileged)
	policy := newPolicy(t, ns, moving, map[string]any{})
	enforce(t, policy)
	g.Eventually(func() string {
		eventuallyReady(t, policy, promptly)
		return policy.Status.ModuleDigest
	}).WithTimeout(promptly).Should(gomega.MatchRegexp("^sha256:[0-9a-f]{64}$"))
	before := policy.Status.ModuleDigest

	moveTag(t, moving, moduleRequiredLabels)
	replaceServerPods(t)
	g.Eventually(func() error { return attempt(t, privileged(newPod(ns))) }).WithTimeout(promptly).
		Should(gomega.MatchError(gomega.ContainSubstring("Privileged container is not allowed")), "replicas that came after the tag had moved serve what was pinned")

	change(t, policy, func() { policy.Annotations = map[string]string{policiesv1.AnnotationRefresh: "now"} })
	// Replicas that are new have to fetch the other module and to compile it.
	g.Eventually(func() error { return attempt(t, privileged(newPod(ns))) }).WithTimeout(30*time.Second).WithPolling(50*time.Millisecond).
		Should(gomega.Succeed(), "what the tag stands for now asks for labels, and here for none")
	g.Eventually(func() string {
		eventuallyReady(t, policy, promptly)
		return policy.Status.ModuleDigest
	}).WithTimeout(promptly).Should(gomega.And(gomega.MatchRegexp("^sha256:[0-9a-f]{64}$"), gomega.Not(gomega.Equal(before))))
}

// moveTag makes a tag in the cluster's registry stand for one of the modules there. Tag and
// module are names below policies.
func moveTag(t *testing.T, tag, module string) {
	t.Helper()
	g := gomega.NewWithT(t)
	image, err := remote.Image(inRegistry(t, module), toRegistry(t)...)
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(remote.Write(inRegistry(t, tag), image, toRegistry(t)...)).To(gomega.Succeed())
}

// inRegistry is a module, a name below policies, in the cluster's registry.
func inRegistry(t *testing.T, module string) name.Reference {
	t.Helper()
	parsed, err := name.ParseReference(os.Getenv("KUBEWARDEN_REGISTRY") + "/policies/" + module)
	gomega.NewWithT(t).Expect(err).NotTo(gomega.HaveOccurred())
	return parsed
}

// toRegistry are the options of whoever talks to the cluster's registry.
func toRegistry(t *testing.T) []remote.Option {
	t.Helper()
	g := gomega.NewWithT(t)
	transport := http.DefaultTransport
	if file := os.Getenv("KUBEWARDEN_REGISTRY_CA"); file != "" {
		pem, err := os.ReadFile(file)
		g.Expect(err).NotTo(gomega.HaveOccurred())
		trusted := x509.NewCertPool()
		g.Expect(trusted.AppendCertsFromPEM(pem)).To(gomega.BeTrue())
		transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}
	}
	return []remote.Option{remote.WithContext(t.Context()), remote.WithTransport(transport)}
}
