//go:build e2e

package e2e

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// A policy server whose API server is gone judges by the lists that it keeps. What it has to ask
// for is refused soon. When the API server is back, both follow the cluster again. Nothing is
// restarted.
func TestPoliciesThatReadTheClusterOutliveTheAPIServer(t *testing.T) {
	g := gomega.NewWithT(t)
	shop, team := namespace(t), namespace(t)
	taken := shop + ".example"
	create(t, newIngress(shop, taken))
	demandLabels(t, team, "cost-centre")
	hosts, labels := hostsPolicy(t, team), newPolicy(t, team, moduleNamespaceLabels, map[string]any{})
	labels.Spec.ContextAwareResources = []policiesv1.ContextAwareResource{namespaces}
	enforce(t, hosts)
	enforce(t, labels)
	before := serverPods(t)
	replicas := replicasOf(t, policiesv1.DefaultPolicyServer)
	const lacking = "the labels that are missing: cost-centre"
	owned := "host " + taken + " belongs to Ingress "
	for _, replica := range replicas { // each has lists of its own
		g.Eventually(func() string { return askReplica(t, replica, hosts, newIngress(team, taken)) }).WithTimeout(contextPatience).
			Should(gomega.ContainSubstring(owned))
		g.Eventually(func() string { return askReplica(t, replica, labels, newPod(team)) }).WithTimeout(contextPatience).
			Should(gomega.ContainSubstring(lacking))
	}

	stopped := time.Now()
	bringBack := loseAPIServer(t)
	for _, replica := range replicas {
		g.Expect(askReplica(t, replica, hosts, newIngress(team, taken))).To(gomega.ContainSubstring(owned))
		g.Expect(askReplica(t, replica, hosts, newIngress(team, "other."+taken))).To(gomega.Equal(admittedByReplica))
		// Within seconds, what was answered before is forgotten.
		g.Eventually(func() string { return askReplica(t, replica, labels, newPod(team)) }).WithTimeout(contextPatience).
			Should(gomega.And(gomega.ContainSubstring(`read Namespace "`+team+`"`), gomega.Not(gomega.ContainSubstring(lacking))))
		g.Expect(askReplica(t, replica, hosts, newIngress(team, taken))).To(gomega.ContainSubstring(owned))
	}
	bringBack()
	t.Logf("the API server was away for %s", time.Since(stopped).Round(time.Second))

	create(t, newIngress(shop, "new."+taken))
	demandLabels(t, team, "cost-centre,tier")
	for _, replica := range replicas {
		g.Eventually(func() string { return askReplica(t, replica, hosts, newIngress(team, "new."+taken)) }).WithTimeout(comeback).
			Should(gomega.ContainSubstring("host new." + taken + " belongs to Ingress "))
		g.Eventually(func() string { return askReplica(t, replica, labels, newPod(team)) }).WithTimeout(contextPatience).
			Should(gomega.ContainSubstring(lacking + ", tier"))
	}
	g.Expect(cluster.Create(t.Context(), newIngress(team, taken), client.DryRunAll)).To(gomega.MatchError(gomega.ContainSubstring(owned)))
	g.Expect(serverPods(t)).To(gomega.Equal(before))
}

// loseAPIServer ends the API server until it is told to bring it back, at the latest at the end
// of the test.
func loseAPIServer(t *testing.T) (bringBack func()) {
	t.Helper()
	away := true
	start := func() {
		if away {
			away = false
			inCluster(t, "start")
		}
	}
	t.Cleanup(start)
	inCluster(t, "stop", "kube-apiserver")
	return func() {
		start()
		gomega.NewWithT(t).Eventually(func() error { return cluster.List(t.Context(), &corev1.NamespaceList{}) }).WithTimeout(comeback).Should(gomega.Succeed())
	}
}

// hostsPolicy has Ingresses of a namespace claim no host of another one.
func hostsPolicy(t *testing.T, namespace string) *policiesv1.ClusterAdmissionPolicy {
	t.Helper()
	policy := newPolicy(t, namespace, moduleIngressHosts, map[string]any{})
	policy.Spec.Rules[0].APIGroups, policy.Spec.Rules[0].Resources = []string{"networking.k8s.io"}, []string{"ingresses"}
	policy.Spec.ContextAwareResources = []policiesv1.ContextAwareResource{ingresses}
	return policy
}

// admittedByReplica is what askReplica says of what is admitted.
const admittedByReplica = "admitted"

// askReplica asks a replica, as an API server does, whether an object may be created, and gives
// its message. It answers in time, whatever happens to it.
func askReplica(t *testing.T, replica corev1.Pod, policy *policiesv1.ClusterAdmissionPolicy, object client.Object) string {
	t.Helper()
	g := gomega.NewWithT(t)
	kinds, _, err := cluster.Scheme().ObjectKinds(object)
	g.Expect(err).NotTo(gomega.HaveOccurred())
	object.GetObjectKind().SetGroupVersionKind(kinds[0])
	raw, err := json.Marshal(object)
	g.Expect(err).NotTo(gomega.HaveOccurred())
	review := admissionv1.AdmissionReview{TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}}
	review.Request = &admissionv1.AdmissionRequest{
		UID: "1", Kind: metav1.GroupVersionKind(kinds[0]), Namespace: object.GetNamespace(), Operation: admissionv1.Create, Object: runtime.RawExtension{Raw: raw},
	}
	body, err := json.Marshal(review)
	g.Expect(err).NotTo(gomega.HaveOccurred())
	// The Pod is asked by its address, which is in no certificate.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	asking := http.Client{Timeout: answerPatience, Transport: transport}
	url := "https://" + net.JoinHostPort(replica.Status.PodIP, "8443") + "/validate/kw.cap." + policy.Name
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	g.Expect(err).NotTo(gomega.HaveOccurred())
	request.Header.Set("Content-Type", "application/json")
	response, err := asking.Do(request)
	g.Expect(err).NotTo(gomega.HaveOccurred())
	defer response.Body.Close()
	answer := admissionv1.AdmissionReview{}
	g.Expect(json.NewDecoder(response.Body).Decode(&answer)).To(gomega.Succeed())
	g.Expect(answer.Response).NotTo(gomega.BeNil())
	if answer.Response.Allowed {
		return admittedByReplica
	}
	g.Expect(answer.Response.Result).NotTo(gomega.BeNil())
	return answer.Response.Result.Message
}
