//go:build e2e

package e2e

import (
	"context"
	"testing"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
)

// TestSuspensionNeedsNoPolicyServer breaks the glass while a policy guards all requests,
// fails closed, and no policy server answers.
func TestSuspensionNeedsNoPolicyServer(t *testing.T) {
	g := gomega.NewWithT(t)
	ns := namespace(t)
	policy := guardEverything(t)
	g.Expect(attempt(t, privileged(newPod(ns)))).To(gomega.MatchError(gomega.ContainSubstring("Privileged container is not allowed")))

	bringRegistryBack := loseRegistry(t, registryRefuses)
	g.Expect(cluster.DeleteAllOf(t.Context(), &corev1.Pod{}, client.InNamespace(operatorNamespace), replicaLabels(guardServer),
		client.GracePeriodSeconds(0))).To(gomega.Succeed())
	nobodyAnswers(t, ns)

	g.Expect(setEnforcement(t.Context(), operatorv1alpha1.EnforcementSuspended)).To(gomega.Succeed())
	g.Eventually(func() error { return attempt(t, privileged(newPod(ns))) }).WithTimeout(promptly).Should(gomega.Succeed(), "nothing is enforced")
	g.Expect(setEnforcement(t.Context(), operatorv1alpha1.EnforcementEnabled)).To(gomega.Succeed())
	bringRegistryBack()
	eventuallyReady(t, policy, comeback)
	g.Expect(attempt(t, privileged(newPod(ns)))).To(gomega.MatchError(gomega.ContainSubstring("Privileged container is not allowed")))
}

// setEnforcement says in the Kubewarden object whether policies are enforced.
func setEnforcement(ctx context.Context, enforcement operatorv1alpha1.Enforcement) error {
	kubewarden := &operatorv1alpha1.Kubewarden{}
	kubewarden.Name = operatorv1alpha1.KubewardenName
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"enforcement":"`+string(enforcement)+`"}}`))
	return cluster.Patch(ctx, kubewarden, patch)
}
