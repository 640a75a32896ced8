//go:build e2e

package e2e

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// contextPatience is how soon a change of the cluster, or of the rights to read it, counts for
// policies: objects are kept for five seconds, and rights are tried again within ten.
const contextPatience = 15 * time.Second

var (
	namespaces = policiesv1.ContextAwareResource{APIVersion: "v1", Kind: "Namespace"}
	ingresses  = policiesv1.ContextAwareResource{APIVersion: "networking.k8s.io/v1", Kind: "Ingress"}
)

// A Pod must carry the labels that its Namespace demands, from within seconds after it demands
// them, in requests and in audits.
func TestPodsCarryTheLabelsThatTheirNamespaceDemands(t *testing.T) {
	g := gomega.NewWithT(t)
	ns := namespace(t)
	older := newPod(ns)
	create(t, older)
	policy := newPolicy(t, ns, moduleNamespaceLabels, map[string]any{})
	enforce(t, policy)

	g.Expect(attempt(t, newPod(ns))).To(gomega.MatchError(gomega.And(
		gomega.ContainSubstring("Policy has not been granted access to Kubernetes v1/Namespace resources"),
		gomega.ContainSubstring("Missing grant: apiVersion 'v1', kind 'Namespace' in contextAwareResources of the policy"))))

	change(t, policy, func() { policy.Spec.ContextAwareResources = []policiesv1.ContextAwareResource{namespaces} })
	g.Eventually(func() error { return attempt(t, newPod(ns)) }).WithTimeout(contextPatience).WithPolling(200*time.Millisecond).
		Should(gomega.Succeed(), "the Namespace demands nothing yet")

	demandLabels(t, ns, "team, cost-centre")
	g.Eventually(func() error { return attempt(t, newPod(ns)) }).WithTimeout(contextPatience).WithPolling(200 * time.Millisecond).
		Should(gomega.MatchError(gomega.ContainSubstring(`Namespace "` + ns + `" demands of Pods the labels that are missing: cost-centre`)))
	labelled := newPod(ns)
	labelled.Labels["cost-centre"] = "7"
	create(t, labelled)
	g.Expect(cluster.Patch(t.Context(), older.DeepCopy(), mergePatch(`{"metadata":{"labels":{"tier":"back"}}}`))).
		To(gomega.Succeed(), "a Pod that is older than the demand can be changed")
	g.Expect(cluster.Patch(t.Context(), labelled.DeepCopy(), mergePatch(`{"metadata":{"labels":{"cost-centre":null}}}`))).
		To(gomega.MatchError(gomega.ContainSubstring("cost-centre")))

	audit(t)
	reports := reportsIn(t, ns)
	g.Expect(reports).To(gomega.HaveKeyWithValue(older.UID, verdicts{"kw.cap." + policy.Name: "fail"}))
	g.Expect(reports).To(gomega.HaveKeyWithValue(labelled.UID, verdicts{"kw.cap." + policy.Name: "pass"}))

	demandLabels(t, ns, "team")
	g.Eventually(func() error { return attempt(t, newPod(ns)) }).WithTimeout(contextPatience).WithPolling(200 * time.Millisecond).Should(gomega.Succeed())
}

func demandLabels(t *testing.T, namespace, keys string) {
	t.Helper()
	kubectl(t, "annotate", "--overwrite", "namespace", namespace, "required-labels.kubewarden.io/keys="+keys)
}

func mergePatch(patch string) client.Patch {
	return client.RawPatch(types.MergePatchType, []byte(patch))
}

// newIngress claims a host.
func newIngress(namespace, host string) *networkingv1.Ingress {
	ingress := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-", Namespace: namespace}}
	backend := networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "web", Port: networkingv1.ServiceBackendPort{Number: 80}}}
	path := networkingv1.HTTPIngressPath{Path: "/", PathType: new(networkingv1.PathTypePrefix), Backend: backend}
	ingress.Spec.Rules = []networkingv1.IngressRule{{
		Host: host, IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{path}}},
	}}
	return ingress
}

// A policy server whose policies read nothing reads nothing: neither may its account, nor is a
// kind watched, nor a registry asked. That is so until a policy declares what it reads, and again
// when that policy is gone.
func TestPoliciesThatReadNothingHaveNothingRead(t *testing.T) {
	g := gomega.NewWithT(t)
	ns := namespace(t)
	server := &policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: ns}}
	authorities, err := sourceAuthorities()
	g.Expect(err).NotTo(gomega.HaveOccurred())
	server.Spec.Replicas, server.Spec.SourceAuthorities = new(int32(1)), authorities
	create(t, server)
	plain := newPolicy(t, ns, modulePodPrivileged, map[string]any{})
	plain.Spec.PolicyServer = server.Name
	enforce(t, plain)
	for range 20 {
		g.Expect(attempt(t, newPod(ns))).To(gomega.Succeed())
	}
	g.Expect(serverMetrics(t, server.Name)).To(gomega.And(
		gomega.ContainSubstring("kubewarden_policy_evaluations_total{"),
		gomega.Not(gomega.ContainSubstring("kubewarden_policy_server_context_objects{")),
		gomega.Not(gomega.ContainSubstring("kubewarden_policy_server_host_call_duration_seconds_count{"))))
	g.Expect(mayListIngresses(t, server.Name)).To(gomega.Equal("no"))

	reader := hostsPolicy(t, ns)
	reader.Spec.PolicyServer = server.Name
	enforce(t, reader)
	g.Eventually(func() error { return cluster.Create(t.Context(), newIngress(ns, ns+".example"), client.DryRunAll) }).
		WithTimeout(contextPatience).WithPolling(200 * time.Millisecond).Should(gomega.Succeed())
	g.Expect(serverMetrics(t, server.Name)).To(gomega.ContainSubstring(`kubewarden_policy_server_context_objects{api_version="networking.k8s.io/v1",resource_kind="Ingress"}`))
	g.Expect(mayListIngresses(t, server.Name)).To(gomega.Equal("yes"))

	remove(t.Context(), t, reader)
	g.Eventually(func() string { return mayListIngresses(t, server.Name) }).WithTimeout(contextPatience).WithPolling(200 * time.Millisecond).
		Should(gomega.Equal("no"))
}

// mayListIngresses asks for the account of a policy server.
func mayListIngresses(t *testing.T, server string) string {
	t.Helper()
	account := "system:serviceaccount:" + operatorNamespace + ":policy-server-" + server
	output, err := exec.CommandContext(t.Context(), "kubectl", "auth", "can-i", "list", "ingresses.networking.k8s.io", "--all-namespaces", "--as="+account).Output()
	if ended := (*exec.ExitError)(nil); err != nil && !errors.As(err, &ended) { // "no" is an exit code of 1
		t.Fatal(err)
	}
	return strings.TrimSpace(string(output))
}
