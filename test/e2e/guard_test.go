//go:build e2e

package e2e

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

const (
	// guardServer is the policy server of a policy that guards everything.
	guardServer = "e2e-guard"
	// comeback is how long a policy server may take until it judges again: the retries of
	// everybody who waits for somebody else are in it.
	comeback = 4 * time.Minute
)

// guardEverything enforces a policy on all requests of the cluster.
func guardEverything(t *testing.T) *policiesv1.ClusterAdmissionPolicy {
	t.Helper()
	registry := os.Getenv("KUBEWARDEN_REGISTRY_INSIDE")
	if registry == "" {
		t.Fatal("KUBEWARDEN_REGISTRY_INSIDE is empty; this test wants the registry of a local cluster, by its name inside of the cluster")
	}
	pem, err := os.ReadFile(os.Getenv("KUBEWARDEN_REGISTRY_CA"))
	if err != nil {
		t.Fatal(err)
	}
	server := &policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: guardServer}}
	server.Spec.Replicas = new(int32(2))
	server.Spec.SourceAuthorities = map[string][]string{registry: {string(pem)}}
	create(t, server)

	fail := admissionregistrationv1.Fail
	policy := newPolicy(t, "", modulePodPrivileged, map[string]any{})
	policy.Spec.Module = "registry://" + registry + "/policies/" + modulePodPrivileged
	policy.Spec.PolicyServer = guardServer
	policy.Spec.FailurePolicy = &fail
	policy.Spec.NamespaceSelector = nil
	policy.Spec.Rules = []policiesv1.Rule{{
		Operations:  []admissionregistrationv1.OperationType{admissionregistrationv1.OperationAll},
		APIGroups:   []string{"*"},
		APIVersions: []string{"*"},
		Resources:   []string{"*/*"},
	}}
	t.Cleanup(func() {
		if err := setEnforcement(context.Background(), operatorv1alpha1.EnforcementEnabled); err != nil {
			t.Error(err)
		}
	})
	create(t, policy)
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		// Nothing could be cleaned up where everything is refused.
		if err := setEnforcement(context.Background(), operatorv1alpha1.EnforcementSuspended); err != nil {
			t.Error(err)
		}
		webhook := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "kw.cap." + policy.Name}}
		gomega.NewWithT(t).Eventually(func() error {
			return cluster.Get(context.Background(), client.ObjectKeyFromObject(webhook), webhook)
		}).WithTimeout(time.Minute).WithPolling(time.Second).Should(gomega.MatchError(gomega.ContainSubstring("not found")))
	})
	eventuallyReady(t, policy, time.Minute)
	return policy
}

// nobodyAnswers waits until the last replica that was there before has ended, and checks that
// requests of tenants are still guarded: they are refused.
func nobodyAnswers(t *testing.T, namespace string) {
	t.Helper()
	g := gomega.NewWithT(t)
	for _, pod := range replicasOf(t, guardServer) {
		g.Expect(isReady(pod)).To(gomega.BeFalse(), "%s has no module and is ready", pod.Name)
	}
	g.Eventually(func() error { return attempt(t, newPod(namespace)) }).WithTimeout(30 * time.Second).
		Should(gomega.MatchError(gomega.ContainSubstring("failed calling webhook")))
}
