//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

func TestPrivilegedPodIsDeniedAndAnInnocentOneAdmitted(t *testing.T) {
	g := gomega.NewWithT(t)
	ns := namespace(t)
	enforce(t, newPolicy(t, ns, modulePodPrivileged, map[string]any{}))

	g.Expect(attempt(t, privileged(newPod(ns)))).To(gomega.MatchError(gomega.ContainSubstring("Privileged container is not allowed")))
	g.Expect(attempt(t, newPod(ns))).To(gomega.Succeed())
	create(t, newPod(ns))
}

func TestChangedSettingsAreEnforcedWithoutARestart(t *testing.T) {
	g := gomega.NewWithT(t)
	ns := namespace(t)
	policy := newPolicy(t, ns, moduleRequiredLabels, map[string]any{"mandatory_labels": []string{"team"}})
	enforce(t, policy)
	g.Expect(attempt(t, newPod(ns))).To(gomega.Succeed())
	before := serverPods(t)

	change(t, policy, func() {
		policy.Spec.Settings = rawSettings(t, map[string]any{"mandatory_labels": []string{"team", "cost-center"}})
	})
	g.Eventually(func() error { return attempt(t, newPod(ns)) }).WithTimeout(promptly).WithPolling(50 * time.Millisecond).
		Should(gomega.MatchError(gomega.ContainSubstring("cost-center")))
	eventuallyReady(t, policy, promptly)

	g.Expect(serverPods(t)).To(gomega.Equal(before))
}

func TestBadSettingsFailAloneAndSayWhy(t *testing.T) {
	g := gomega.NewWithT(t)
	ns := namespace(t)
	enforce(t, newPolicy(t, ns, modulePodPrivileged, map[string]any{}))
	wrong := newPolicy(t, ns, moduleRequiredLabels, map[string]any{"mandatory_labels": "team"})
	create(t, wrong)

	ready := eventuallyRefused(t, wrong)
	g.Expect(ready.Reason).To(gomega.Equal("InvalidSettings"))
	g.Expect(ready.Message).To(gomega.ContainSubstring("mandatory_labels"))
	g.Expect(wrong.Status.PolicyStatus).NotTo(gomega.Equal(policiesv1.PolicyStateActive))
	g.Expect(kubectl(t, "describe", "clusteradmissionpolicy", wrong.Name)).To(gomega.MatchRegexp(`Warning\s+InvalidSettings`), "an Event tells of the refusal")

	g.Expect(attempt(t, privileged(newPod(ns)))).To(gomega.MatchError(gomega.ContainSubstring("Privileged container is not allowed")), "other policies go on")
	g.Expect(attempt(t, newPod(ns))).To(gomega.Succeed(), "a refused policy has no webhook")
}

func TestAnEnforcedPolicyGoesOnWithItsOldSettingsWhenNewOnesAreBad(t *testing.T) {
	g := gomega.NewWithT(t)
	ns := namespace(t)
	policy := newPolicy(t, ns, moduleRequiredLabels, map[string]any{"mandatory_labels": []string{"cost-center"}})
	enforce(t, policy)
	good := policy.Spec.Module

	patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"settings":{"mandatory_labels":7}}}`))
	g.Expect(cluster.Patch(t.Context(), policy.DeepCopy(), patch)).To(gomega.MatchError(gomega.ContainSubstring("mandatory_labels")),
		"what a module that is loaded finds wrong is refused when it is written")

	breakPolicy(t, policy)
	ready := eventuallyRefused(t, policy)
	g.Expect(ready.Reason).To(gomega.Equal("InvalidSettings"))
	g.Expect(attempt(t, newPod(ns))).To(gomega.MatchError(gomega.ContainSubstring("cost-center")), "the old settings are still enforced")

	change(t, policy, func() {
		policy.Spec.Module = good
		policy.Spec.Settings = rawSettings(t, map[string]any{"mandatory_labels": []string{"team"}})
	})
	eventuallyReady(t, policy, 30*time.Second)
	g.Expect(attempt(t, newPod(ns))).To(gomega.Succeed())
}

func TestADeletedPolicyIsNotAskedAnyMore(t *testing.T) {
	g := gomega.NewWithT(t)
	ns := namespace(t)
	policy := newPolicy(t, ns, modulePodPrivileged, map[string]any{})
	enforce(t, policy)

	g.Expect(cluster.Delete(t.Context(), policy)).To(gomega.Succeed())
	g.Eventually(func() error { return attempt(t, privileged(newPod(ns))) }).WithTimeout(promptly).Should(gomega.Succeed())
}

func TestDriftIsHealed(t *testing.T) {
	g := gomega.NewWithT(t)
	ns := namespace(t)
	policy := newPolicy(t, ns, modulePodPrivileged, map[string]any{})
	enforce(t, policy)

	t.Run("a deleted Service", func(t *testing.T) {
		service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "policy-server-default", Namespace: operatorNamespace}}
		g.Expect(cluster.Get(t.Context(), client.ObjectKeyFromObject(service), service)).To(gomega.Succeed())
		deleted := service.UID
		g.Expect(cluster.Delete(t.Context(), service)).To(gomega.Succeed())
		g.Eventually(func(g gomega.Gomega) {
			g.Expect(cluster.Get(t.Context(), client.ObjectKeyFromObject(service), service)).To(gomega.Succeed())
			g.Expect(service.UID).NotTo(gomega.Equal(deleted))
		}).WithTimeout(promptly).Should(gomega.Succeed())
	})
	t.Run("an edited webhook", func(t *testing.T) {
		webhook := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "kw.cap." + policy.Name}}
		g.Expect(cluster.Get(t.Context(), client.ObjectKeyFromObject(webhook), webhook)).To(gomega.Succeed())
		wanted := webhook.DeepCopy().Webhooks[0]
		ignore := admissionregistrationv1.Ignore
		webhook.Webhooks[0].FailurePolicy = &ignore
		webhook.Webhooks[0].Rules[0].Resources = []string{"secrets"}
		g.Expect(cluster.Update(t.Context(), webhook)).To(gomega.Succeed())
		g.Eventually(func(g gomega.Gomega) {
			g.Expect(cluster.Get(t.Context(), client.ObjectKeyFromObject(webhook), webhook)).To(gomega.Succeed())
			g.Expect(webhook.Webhooks[0]).To(gomega.Equal(wanted))
		}).WithTimeout(promptly).Should(gomega.Succeed())
	})
	g.Eventually(func() error { return attempt(t, privileged(newPod(ns))) }).WithTimeout(30 * time.Second).
		Should(gomega.MatchError(gomega.ContainSubstring("Privileged container is not allowed")))
}

func TestCertificatesComeFromWhatTheClusterHas(t *testing.T) {
	g := gomega.NewWithT(t)
	want := operatorv1alpha1.CertificateProviderBuiltIn
	if strings.Contains(kubectl(t, "get", "crds", "--output=name"), "certificates.cert-manager.io") {
		want = operatorv1alpha1.CertificateProviderCertManager
	}
	kubewarden := &operatorv1alpha1.Kubewarden{}
	g.Expect(cluster.Get(t.Context(), client.ObjectKey{Name: operatorv1alpha1.KubewardenName}, kubewarden)).To(gomega.Succeed())
	g.Expect(kubewarden.Status.CertificateProvider).To(gomega.Equal(want))
}

func TestListsAndDescriptionsReadWell(t *testing.T) {
	g := gomega.NewWithT(t)
	ns := namespace(t)
	policy := newPolicy(t, ns, modulePodPrivileged, map[string]any{})
	enforce(t, policy)

	g.Expect(kubectl(t, "get", "kubewarden")).To(gomega.MatchRegexp(`kubewarden\s+Enabled\s+True`))
	g.Expect(kubectl(t, "get", "ps", "default")).NotTo(gomega.ContainSubstring("<none>"))
	g.Expect(kubectl(t, "get", "cap", policy.Name)).To(gomega.MatchRegexp(policy.Name + `\s+default\s+false\s+true\s+protect\s+protect\s+active`))
	g.Expect(kubectl(t, "describe", "cap", policy.Name)).To(gomega.MatchRegexp(`Normal\s+Enforced`))
}

// serverPods are the Pods of the default policy server and how often each restarted.
func serverPods(t *testing.T) map[types.UID]int32 {
	t.Helper()
	restarts := map[types.UID]int32{}
	for _, pod := range replicasOf(t, policiesv1.DefaultPolicyServer) {
		restarts[pod.UID] = pod.Status.ContainerStatuses[0].RestartCount
	}
	return restarts
}

// change edits the policy, again if somebody else was faster.
func change(t *testing.T, policy *policiesv1.ClusterAdmissionPolicy, edit func()) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func() error {
		if err := cluster.Get(t.Context(), client.ObjectKeyFromObject(policy), policy); err != nil {
			return err
		}
		edit()
		return cluster.Update(t.Context(), policy)
	}).WithTimeout(promptly).Should(gomega.Succeed())
}

// breakPolicy gives a policy a module that its server has not loaded, so that nobody can say
// before it is written that the settings are not that module's.
func breakPolicy(t *testing.T, policy *policiesv1.ClusterAdmissionPolicy) {
	t.Helper()
	broken := newPolicy(t, "", modulePodPrivileged, map[string]any{"mandatory_labels": 7})
	change(t, policy, func() { policy.Spec.Module, policy.Spec.Settings = broken.Spec.Module, broken.Spec.Settings })
}

// eventuallyRefused waits until the status of this generation says that the policy is not
// ready for a reason that does not pass by itself.
func eventuallyRefused(t *testing.T, policy *policiesv1.ClusterAdmissionPolicy) metav1.Condition {
	t.Helper()
	var ready metav1.Condition
	gomega.NewWithT(t).Eventually(func(g gomega.Gomega) {
		g.Expect(cluster.Get(t.Context(), client.ObjectKeyFromObject(policy), policy)).To(gomega.Succeed())
		condition := apimeta.FindStatusCondition(policy.Status.Conditions, policiesv1.ConditionReady)
		g.Expect(condition).NotTo(gomega.BeNil())
		ready = *condition
		g.Expect(ready.ObservedGeneration).To(gomega.Equal(policy.Generation))
		g.Expect(ready.Status).To(gomega.Equal(metav1.ConditionFalse))
		g.Expect(ready.Reason).NotTo(gomega.Or(gomega.Equal(policiesv1.ReasonLoading), gomega.Equal(policiesv1.ReasonPolicyServerNotReady)), ready.Message)
	}).WithTimeout(30 * time.Second).WithPolling(100 * time.Millisecond).Should(gomega.Succeed())
	return ready
}
