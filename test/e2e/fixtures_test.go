//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// Modules that `make policies-push` puts into the cluster's registry.
const (
	modulePodPrivileged    = "pod-privileged:v0.1.0"
	moduleRequiredLabels   = "required-labels:v0.1.0"
	moduleDropCapabilities = "drop-capabilities:v0.1.0"
	moduleServiceNodePort  = "disallow-service-nodeport:v0.1.0"
	moduleContainerLimits  = "container-limits:v0.1.0"
	moduleNamespaceLabels  = "namespace-labels:v0.1.0"
	moduleIngressHosts     = "unique-ingress-hosts:v0.1.0"
	moduleVerifiedImages   = "verified-images:v0.1.0"
)

// promptly is how soon a change must be in force.
const promptly = 5 * time.Second

// namespace makes a namespace for one test. Its end takes seconds, and is not waited for.
func namespace(t *testing.T) string {
	t.Helper()
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"}}
	gomega.NewWithT(t).Expect(cluster.Create(t.Context(), object)).To(gomega.Succeed())
	t.Cleanup(func() { remove(context.Background(), t, object) })
	return object.Name
}

// create creates an object, and deletes it at the end of the test.
func create(t *testing.T, object client.Object) {
	t.Helper()
	gomega.NewWithT(t).Expect(cluster.Create(t.Context(), object)).To(gomega.Succeed())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		remove(ctx, t, object)
		gomega.NewWithT(t).Eventually(func() error {
			return cluster.Get(ctx, client.ObjectKeyFromObject(object), object)
		}).WithTimeout(time.Minute).Should(gomega.MatchError(gomega.ContainSubstring("not found")), "%T %s is still there", object, object.GetName())
	})
}

func remove(ctx context.Context, t *testing.T, object client.Object) {
	t.Helper()
	if err := client.IgnoreNotFound(cluster.Delete(ctx, object)); err != nil {
		t.Errorf("delete %T %s: %v", object, object.GetName(), err)
	}
}

// newPolicy is a policy for Pods of one namespace; settings is marshalled to JSON.
func newPolicy(t *testing.T, namespace, module string, settings any) *policiesv1.ClusterAdmissionPolicy {
	t.Helper()
	policy := &policiesv1.ClusterAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"}}
	policy.Spec.Module = "registry://" + os.Getenv("KUBEWARDEN_REGISTRY") + "/policies/" + module
	policy.Spec.Settings = rawSettings(t, settings)
	policy.Spec.Rules = []policiesv1.Rule{{
		Operations:  []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
		APIGroups:   []string{""},
		APIVersions: []string{"v1"},
		Resources:   []string{"pods"},
	}}
	policy.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}}
	return policy
}

func rawSettings(t *testing.T, settings any) runtime.RawExtension {
	t.Helper()
	raw, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	return runtime.RawExtension{Raw: raw}
}

// enforce creates a policy and waits until it is enforced.
func enforce(t *testing.T, policy *policiesv1.ClusterAdmissionPolicy) {
	t.Helper()
	create(t, policy)
	eventuallyReady(t, policy, time.Minute)
}

func eventuallyReady(t *testing.T, policy *policiesv1.ClusterAdmissionPolicy, patience time.Duration) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func(g gomega.Gomega) {
		g.Expect(cluster.Get(t.Context(), client.ObjectKeyFromObject(policy), policy)).To(gomega.Succeed())
		ready := apimeta.FindStatusCondition(policy.Status.Conditions, policiesv1.ConditionReady)
		g.Expect(ready).NotTo(gomega.BeNil())
		g.Expect(ready.ObservedGeneration).To(gomega.Equal(policy.Generation))
		g.Expect(ready.Status).To(gomega.Equal(metav1.ConditionTrue), ready.Message)
	}).WithTimeout(patience).WithPolling(100 * time.Millisecond).Should(gomega.Succeed())
}

// newPod is a Pod that no policy objects to, unless changed.
func newPod(namespace string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-", Namespace: namespace, Labels: map[string]string{"team": "storage"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "registry.k8s.io/pause:3.10"}}},
	}
}

// attempt asks the API server to create a Pod and keeps nothing.
func attempt(t *testing.T, pod *corev1.Pod) error {
	t.Helper()
	return cluster.Create(t.Context(), pod.DeepCopy(), client.DryRunAll)
}

func privileged(pod *corev1.Pod) *corev1.Pod {
	yes := true
	pod.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: &yes}
	return pod
}

// kubectl runs kubectl and returns what it printed.
func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "kubectl", args...)
	var warnings strings.Builder // apart from the output, which tests read
	cmd.Stderr = &warnings
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("kubectl %v: %v\n%s%s", args, err, output, warnings.String())
	}
	return string(output)
}

// kubectlAfter runs kubectl also when the test has ended and cleans up.
func kubectlAfter(t *testing.T, args ...string) {
	t.Helper()
	output, err := exec.CommandContext(context.WithoutCancel(t.Context()), "kubectl", args...).CombinedOutput()
	if err != nil {
		t.Errorf("kubectl %v: %v\n%s", args, err, output)
	}
}
