//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

func TestMonitorModeAdmitsAndTellsTheVerdictInLogAndMetrics(t *testing.T) {
	g := gomega.NewWithT(t)
	ns := namespace(t)
	policy := newPolicy(t, ns, modulePodPrivileged, map[string]any{})
	policy.Spec.Mode = policiesv1.PolicyModeMonitor
	enforce(t, policy)

	g.Expect(attempt(t, privileged(newPod(ns)))).To(gomega.Succeed())
	g.Expect(attempt(t, newPod(ns))).To(gomega.Succeed())

	log := kubectl(t, "--namespace", operatorNamespace, "logs", "--selector=kubewarden/policy-server=default", "--since=1m")
	g.Expect(log).To(gomega.MatchRegexp(`"policy evaluation \(monitor mode\)" policy_id=kw\.cap\.%s .*response\.allowed=false .*Privileged container is not allowed`, policy.Name))
	rejections := fmt.Sprintf(`kubewarden_policy_evaluations_total\{accepted="false".*policy_mode="monitor",policy_name="kw\.cap\.%s",.*\} 1`, policy.Name)
	g.Eventually(func() string { return serverMetrics(t, policiesv1.DefaultPolicyServer) }).WithTimeout(promptly).Should(gomega.MatchRegexp(rejections))

	change(t, policy, func() { policy.Spec.Mode = policiesv1.PolicyModeProtect })
	eventuallyReady(t, policy, 30*time.Second)
	g.Expect(attempt(t, privileged(newPod(ns)))).To(gomega.MatchError(gomega.ContainSubstring("Privileged container is not allowed")))
}

func TestAPolicyChangesAPodBeforeItIsStored(t *testing.T) {
	g := gomega.NewWithT(t)
	ns := namespace(t)
	policy := newPolicy(t, ns, moduleDropCapabilities, map[string]any{"required_drop_capabilities": []string{"NET_RAW"}})
	policy.Spec.Mutating = true
	enforce(t, policy)

	pod := newPod(ns)
	g.Expect(cluster.Create(t.Context(), pod, client.DryRunAll)).To(gomega.Succeed())
	g.Expect(pod.Spec.Containers[0].SecurityContext).NotTo(gomega.BeNil())
	g.Expect(pod.Spec.Containers[0].SecurityContext.Capabilities.Drop).To(gomega.ConsistOf(corev1.Capability("NET_RAW")))
}

func TestAPolicyThatMayNotMutateDeniesInstead(t *testing.T) {
	ns := namespace(t)
	policy := newPolicy(t, ns, moduleDropCapabilities, map[string]any{"required_drop_capabilities": []string{"NET_RAW"}})
	enforce(t, policy)

	gomega.NewWithT(t).Expect(attempt(t, newPod(ns))).To(gomega.MatchError(gomega.ContainSubstring(
		"The policy attempted to mutate the request, but it is currently configured to not allow mutations.")))
}

func TestRegoPoliciesDeny(t *testing.T) {
	t.Run("for Open Policy Agent", func(t *testing.T) {
		g := gomega.NewWithT(t)
		ns := namespace(t)
		policy := newPolicy(t, ns, moduleServiceNodePort, map[string]any{})
		policy.Spec.Rules[0].Resources = []string{"services"}
		enforce(t, policy)

		service := &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-", Namespace: ns},
			Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: []corev1.ServicePort{{Port: 80}}},
		}
		g.Expect(cluster.Create(t.Context(), service.DeepCopy(), client.DryRunAll)).To(gomega.MatchError(gomega.ContainSubstring("NodePort")))
		service.Spec.Type = corev1.ServiceTypeClusterIP
		g.Expect(cluster.Create(t.Context(), service, client.DryRunAll)).To(gomega.Succeed())
	})
	t.Run("for Gatekeeper", func(t *testing.T) {
		g := gomega.NewWithT(t)
		ns := namespace(t)
		enforce(t, newPolicy(t, ns, moduleContainerLimits, map[string]any{"cpu": "500m", "memory": "256Mi"}))

		g.Expect(attempt(t, newPod(ns))).To(gomega.MatchError(gomega.ContainSubstring("limit")))
		limited := newPod(ns)
		limited.Spec.Containers[0].Resources.Limits = corev1.ResourceList{"cpu": resource.MustParse("250m"), "memory": resource.MustParse("64Mi")}
		g.Expect(attempt(t, limited)).To(gomega.Succeed())
	})
}

func TestAGroupOfPoliciesGivesOneVerdict(t *testing.T) {
	g := gomega.NewWithT(t)
	ns := namespace(t)
	group := newGroup(t, ns)
	create(t, group)
	eventuallyGroupReady(t, group)

	err := attempt(t, newPod(ns))
	g.Expect(err).To(gomega.MatchError(gomega.ContainSubstring("denied the request: a Pod needs an owner, or somebody on call")))
	var refusal *apierrors.StatusError
	g.Expect(errors.As(err, &refusal)).To(gomega.BeTrue())
	g.Expect(refusal.Status().Details.Causes).To(gomega.ConsistOf(
		metav1.StatusCause{Field: "spec.policies.owned", Message: `mandatory label "owner" is missing`},
		metav1.StatusCause{Field: "spec.policies.on_call", Message: `mandatory label "on-call" is missing`},
	))
	labelled := newPod(ns)
	labelled.Labels["on-call"] = "night"
	g.Expect(attempt(t, labelled)).To(gomega.Succeed())
}

// newGroup wants a label owner or a label on-call of the Pods of a namespace.
func newGroup(t *testing.T, namespace string) *policiesv1.ClusterAdmissionPolicyGroup {
	t.Helper()
	single := newPolicy(t, namespace, moduleRequiredLabels, nil)
	group := &policiesv1.ClusterAdmissionPolicyGroup{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"}}
	group.Spec.Rules = single.Spec.Rules
	group.Spec.Rules[0].Operations = []admissionregistrationv1.OperationType{admissionregistrationv1.Create}
	group.Spec.NamespaceSelector = single.Spec.NamespaceSelector
	group.Spec.Expression = "owned() || on_call()"
	group.Spec.Message = "a Pod needs an owner, or somebody on call"
	group.Spec.Policies = map[string]policiesv1.ContextAwareGroupMember{}
	for member, label := range map[string]string{"owned": "owner", "on_call": "on-call"} {
		group.Spec.Policies[member] = policiesv1.ContextAwareGroupMember{GroupMember: policiesv1.GroupMember{
			Module:   single.Spec.Module,
			Settings: rawSettings(t, map[string]any{"mandatory_labels": []string{label}}),
		}}
	}
	return group
}

func eventuallyGroupReady(t *testing.T, group *policiesv1.ClusterAdmissionPolicyGroup) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func(g gomega.Gomega) {
		g.Expect(cluster.Get(t.Context(), client.ObjectKeyFromObject(group), group)).To(gomega.Succeed())
		ready := apimeta.FindStatusCondition(group.Status.Conditions, policiesv1.ConditionReady)
		g.Expect(ready).NotTo(gomega.BeNil())
		g.Expect(ready.Status).To(gomega.Equal(metav1.ConditionTrue), ready.Message)
	}).WithTimeout(30 * time.Second).WithPolling(100 * time.Millisecond).Should(gomega.Succeed())
}

// serverMetrics are the metrics of all replicas of a policy server, one after the other.
func serverMetrics(t *testing.T, server string) string {
	t.Helper()
	var all string
	for _, pod := range replicasOf(t, server) {
		all += kubectl(t, "get", "--raw", fmt.Sprintf("/api/v1/namespaces/%s/pods/%s:8080/proxy/metrics", operatorNamespace, pod.Name))
	}
	return all
}
