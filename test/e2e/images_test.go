//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/signature/signaturetest"
	"github.com/kubewarden/kubewarden-operator/test/sigstore"
)

// Identities, and those who vouch for them.
const (
	oidc         = "https://oidc.example"
	alice        = "alice@example.org"
	projects     = "https://git.example/team/"
	ofTheProject = projects + "app"
)

// Pods are admitted with images that are signed by whom the policy demands: by a key, by an
// identity, by one that begins so. Each tag becomes the digest that was verified. What was
// verified a moment ago is admitted while the registry is away, and nothing else.
func TestImagesAreAdmittedThatAreSignedAsDemanded(t *testing.T) {
	ns := namespace(t)
	own, foreign := sigstore.New(t), sigstore.New(t)
	key, stranger := newSigner(t), newSigner(t)
	server := signatureServer(t, ns, own)
	image := func(tag string) signedImage { return pushImage(t, ns, tag) }
	byKey, later, evenLater, byStranger := image("by-key"), image("later"), image("even-later"), image("by-stranger")
	byKey.signBy(t, key)
	later.signBy(t, key)
	evenLater.signBy(t, key)
	byStranger.signBy(t, stranger)
	byAlice, byProject, byForeign, byBob := image("by-alice"), image("by-project"), image("by-foreign"), image("by-bob")
	byAlice.signAs(t, own, sigstore.Signer{Issuer: oidc, Email: alice})
	byProject.signAs(t, own, sigstore.Signer{Issuer: oidc, URI: ofTheProject})
	byForeign.signAs(t, foreign, sigstore.Signer{Issuer: oidc, Email: alice})
	byBob.signAs(t, own, sigstore.Signer{Issuer: oidc, Email: "bob@example.org"})
	unsigned := image("unsigned")

	of := func(tags string) string { return byKey.reference.Context().Name() + ":" + tags }
	byIdentity := map[string]any{"keyless": []any{map[string]any{"issuer": oidc, "subject": alice}}}
	byPrefix := map[string]any{"keylessPrefix": []any{map[string]any{"issuer": oidc, "urlPrefix": projects}}}
	policy := newPolicy(t, ns, moduleVerifiedImages, map[string]any{"signatures": []any{
		demandFor(of("by-key"), keyDemand(key)), demandFor(of("later"), keyDemand(key)), demandFor(of("even-later"), keyDemand(key)),
		demandFor(of("by-stranger"), keyDemand(key)), demandFor(of("unsigned"), keyDemand(key)),
		demandFor(of("by-alice"), byIdentity), demandFor(of("by-foreign"), byIdentity), demandFor(of("by-bob"), byIdentity),
		demandFor(of("by-project"), byPrefix),
	}})
	policy.Spec.PolicyServer, policy.Spec.Mutating = server, true
	enforce(t, policy)

	for _, signed := range []signedImage{byKey, byAlice, byProject} {
		admitsAsVerified(t, ns, signed)
	}
	for _, refused := range []signedImage{byStranger, unsigned, byForeign, byBob} {
		gomega.NewWithT(t).Expect(admitted(t, ns, refused.name())).Error().To(gomega.MatchError(gomega.ContainSubstring(
			fmt.Sprintf(`container "main": image %q is not verified: `, refused.name()))))
	}
	gomega.NewWithT(t).Expect(admitted(t, ns, "registry.k8s.io/pause:3.10")).Error().To(gomega.MatchError(gomega.ContainSubstring("no demand of signatures is about it")))

	// Each absence asks for an image of its own: a question that outlived its request while the
	// registry hung is answered, and the answer kept, as soon as the registry is back.
	for _, absence := range []struct {
		away    registryAway
		unasked signedImage
		why     string
	}{
		{registryHangs, later, "exceeded the allowed execution time"},
		{registryRefuses, evenLater, "connection refused"},
	} {
		t.Run("the registry "+absence.away.how, func(t *testing.T) {
			g := gomega.NewWithT(t)
			admitsAsVerified(t, ns, byKey) // so that the answer is not old
			bringBack := loseRegistry(t, absence.away)
			admitsAsVerified(t, ns, byKey)
			began := time.Now()
			g.Expect(admitted(t, ns, absence.unasked.name())).Error().To(gomega.MatchError(gomega.And(
				gomega.ContainSubstring("denied the request"), gomega.ContainSubstring(absence.why))), "nobody has verified it yet")
			g.Expect(time.Since(began)).To(gomega.BeNumerically("<", answerPatience))
			bringBack()
		})
	}
	for _, asked := range []signedImage{later, evenLater} {
		gomega.NewWithT(t).Eventually(func() error {
			_, err := admitted(t, ns, asked.name())
			return err
		}).WithTimeout(contextPatience).Should(gomega.Succeed(), "the registry is back")
	}
}

// answerPatience is how long a policy that cannot find out may take to say so: less than an API
// server waits for a webhook.
const answerPatience = 10 * time.Second

// signatureServer is a policy server of one replica that trusts a Sigstore of its own.
func signatureServer(t *testing.T, serverName string, trusted *sigstore.Sigstore) string {
	t.Helper()
	root := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: "sigstore-" + serverName}}
	root.Data = map[string]string{"sigstore-trust-config": string(trusted.TrustedRoot(t, 0))}
	create(t, root)
	authorities, err := sourceAuthorities()
	gomega.NewWithT(t).Expect(err).NotTo(gomega.HaveOccurred())
	server := &policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: serverName}}
	server.Spec.Replicas, server.Spec.SourceAuthorities, server.Spec.SigstoreTrustConfig = new(int32(1)), authorities, root.Name
	create(t, server)
	return server.Name
}

// admitted is the image of a Pod as it would be stored. Nothing is.
func admitted(t *testing.T, namespace, image string) (string, error) {
	t.Helper()
	pod := newPod(namespace)
	pod.Spec.Containers[0].Image = image
	if err := cluster.Create(t.Context(), pod, client.DryRunAll); err != nil {
		return "", err
	}
	return pod.Spec.Containers[0].Image, nil
}

// admitsAsVerified wants an image admitted with its digest.
func admitsAsVerified(t *testing.T, namespace string, image signedImage) {
	t.Helper()
	gomega.NewWithT(t).Expect(admitted(t, namespace, image.name())).To(gomega.Equal(image.name() + "@" + image.digest))
}

// demandFor is a demand of the signatures of an image.
func demandFor(image string, signers map[string]any) map[string]any {
	demand := maps.Clone(signers)
	demand["image"] = image
	return demand
}

func keyDemand(key *signaturetest.Signer) map[string]any {
	return map[string]any{"pubKeys": []string{key.PublicKey}}
}

// signedImage is an image in the cluster's registry, which somebody may have signed.
type signedImage struct {
	reference name.Reference
	digest    string
}

// pushImage stores an image that is like no other.
func pushImage(t *testing.T, repository, tag string) signedImage {
	t.Helper()
	g := gomega.NewWithT(t)
	image, err := mutate.Config(empty.Image, v1.Config{User: repository + tag})
	g.Expect(err).NotTo(gomega.HaveOccurred())
	digest, err := image.Digest()
	g.Expect(err).NotTo(gomega.HaveOccurred())
	reference := inRegistry(t, repository+":"+tag)
	g.Expect(remote.Write(reference, image, toRegistry(t)...)).To(gomega.Succeed())
	return signedImage{reference, digest.String()}
}

func (i signedImage) name() string { return i.reference.String() }

func (i signedImage) signBy(t *testing.T, key *signaturetest.Signer) {
	t.Helper()
	gomega.NewWithT(t).Expect(key.Sign(i.reference, toRegistry(t)...)).To(gomega.Succeed())
}

// signAs stores a signature by an identity, as cosign does.
func (i signedImage) signAs(t *testing.T, by *sigstore.Sigstore, signer sigstore.Signer) {
	t.Helper()
	g := gomega.NewWithT(t)
	payload, err := signaturetest.Payload(i.digest, nil)
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(signaturetest.Attach(i.reference.Context().Digest(i.digest), payload, []map[string]string{by.Layer(t, signer, payload)}, toRegistry(t)...)).To(gomega.Succeed())
}
