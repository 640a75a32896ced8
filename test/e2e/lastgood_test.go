//go:build e2e

package e2e

import (
	"testing"

	"github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestABrokenPolicyKeepsItsLastGoodRevisionWhenEveryPodIsReplaced(t *testing.T) {
	g := gomega.NewWithT(t)
	ns := namespace(t)
	policy := newPolicy(t, ns, moduleRequiredLabels, map[string]any{"mandatory_labels": []string{"cost-center"}})
	enforce(t, policy)
	breakPolicy(t, policy)
	eventuallyRefused(t, policy)

	replaceServerPods(t)
	g.Eventually(func() error { return attempt(t, newPod(ns)) }).WithTimeout(promptly).
		Should(gomega.MatchError(gomega.ContainSubstring("cost-center")), "replicas that never saw it wanted enforce the last good revision")
	ready := eventuallyRefused(t, policy)
	g.Expect(ready.Reason).To(gomega.Equal("InvalidSettings"))
	g.Expect(ready.Message).To(gomega.ContainSubstring("ready replicas still serve the older revision"))

	g.Expect(cluster.Delete(t.Context(), policy)).To(gomega.Succeed())
	g.Eventually(func() error { return cluster.Get(t.Context(), client.ObjectKeyFromObject(policy), policy) }).
		WithTimeout(promptly).Should(gomega.MatchError(gomega.ContainSubstring("not found")))
	again := newPolicy(t, ns, modulePodPrivileged, map[string]any{"mandatory_labels": 7})
	again.Name, again.GenerateName = policy.Name, ""
	create(t, again)
	g.Eventually(func() string { return eventuallyRefused(t, again).Message }).WithTimeout(promptly).
		Should(gomega.ContainSubstring("no revision of it is served, and its webhook is not created"))
	g.Expect(attempt(t, newPod(ns))).To(gomega.Succeed(), "nothing of the deleted policy is left")
}
