//go:build e2e

package e2e

import (
	"os"
	"testing"
	"time"

	"github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// rollsOut is how long a roll-out of two replicas may take.
const rollsOut = time.Minute

// A server that knows upstream's contract and nothing else: it has read what it judges by when
// it started.
func TestAnImageOfUpstreamsContractIsRolledOut(t *testing.T) {
	g := gomega.NewWithT(t)
	image := os.Getenv("KUBEWARDEN_STANDIN")
	if image == "" {
		t.Fatal("KUBEWARDEN_STANDIN is empty; it is to name the image of test/e2e/standin, which `make standin-load` makes")
	}
	ns := namespace(t)
	server := &policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-standin-"}}
	server.Spec.Image = image
	server.Spec.Replicas = new(int32(2))
	create(t, server)
	policy := newPolicy(t, ns, "no-module-is-fetched:v1", map[string]any{"required_label": "team"})
	policy.Spec.PolicyServer = server.Name
	create(t, policy)

	eventuallyReady(t, policy, rollsOut)
	g.Expect(apimeta.FindStatusCondition(policy.Status.Conditions, policiesv1.ConditionReady).Reason).
		To(gomega.Equal(policiesv1.ReasonReportedByRollout))
	g.Expect(attempt(t, newPod(ns))).To(gomega.Succeed())
	unlabelled := newPod(ns)
	unlabelled.Labels = nil
	g.Expect(attempt(t, unlabelled)).To(gomega.MatchError(gomega.ContainSubstring("label is missing: team")))

	before := replicasOf(t, server.Name)
	change(t, policy, func() { policy.Spec.Settings = rawSettings(t, map[string]any{"required_label": "cost-center"}) })
	eventuallyReady(t, policy, rollsOut)
	g.Expect(attempt(t, newPod(ns))).To(gomega.MatchError(gomega.ContainSubstring("label is missing: cost-center")),
		"once the policy is Ready every replica judges by the new settings")
	eventuallyReplaced(t, server.Name, before, 2)

	g.Expect(cluster.Delete(t.Context(), server)).To(gomega.Succeed())
	for _, object := range []client.Object{
		&admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "kw.cap." + policy.Name}},
		server,
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "policy-server-" + server.Name, Namespace: operatorNamespace}},
	} {
		g.Eventually(func() error { return cluster.Get(t.Context(), client.ObjectKeyFromObject(object), object) }).
			WithTimeout(rollsOut).WithPolling(100*time.Millisecond).Should(gomega.MatchError(gomega.ContainSubstring("not found")), "%T", object)
	}
	g.Expect(attempt(t, unlabelled)).To(gomega.Succeed(), "nobody is asked any more")
}
