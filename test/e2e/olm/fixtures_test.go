//go:build e2e_olm

package olm

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

const (
	// namespaceName is the namespace that the bundle suggests.
	namespaceName = "kubewarden"
	// operatorName is the operator's Deployment, account and package.
	operatorName = "kubewarden-operator"
	// partOf and kubewardenName label what belongs to the installation.
	partOf         = "app.kubernetes.io/part-of"
	kubewardenName = "kubewarden"
	// module is what `make policies-push` puts into the cluster's registry.
	module = "pod-privileged:v0.1.0"
	// refusal is what that policy says.
	refusal = "Privileged container is not allowed"
	// patience is how long OLM may take for one step.
	patience = 2 * time.Minute
)

// bundle is what the project's bundle says of itself.
type bundle struct {
	version     string
	namespace   corev1.Namespace
	definitions []string
}

func newLife(t *testing.T) *life {
	t.Helper()
	content, err := os.ReadFile("../../../bundle/manifests/kubewarden-operator.clusterserviceversion.yaml")
	if err != nil {
		t.Fatal(err)
	}
	csv := &operatorsv1alpha1.ClusterServiceVersion{}
	if err := yaml.UnmarshalStrict(content, csv); err != nil {
		t.Fatal(err)
	}
	l := &life{bundle: bundle{version: csv.Name}}
	if err := json.Unmarshal([]byte(csv.Annotations["operatorframework.io/suggested-namespace-template"]), &l.bundle.namespace); err != nil {
		t.Fatal(err)
	}
	for _, owned := range csv.Spec.CustomResourceDefinitions.Owned {
		l.bundle.definitions = append(l.bundle.definitions, owned.Name)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"}}
	if err := cluster.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	l.namespace = namespace.Name
	t.Cleanup(func() {
		if err := cluster.Delete(context.Background(), namespace); err != nil {
			t.Error(err)
		}
	})
	return l
}

// explain shows the state of the cluster after a failure.
func (l *life) explain(t *testing.T) {
	t.Helper()
	for _, args := range [][]string{
		{"get", "catalogsources,subscriptions,installplans,clusterserviceversions,pods", "--namespace=" + namespaceName, "--output=wide"},
		{"get", "events", "--namespace=" + namespaceName, "--sort-by=.lastTimestamp"},
		{"logs", "--namespace=" + namespaceName, "--selector=app.kubernetes.io/component=operator", "--tail=30"},
		{"describe", "kubewardens,policyservers,clusteradmissionpolicies"},
	} {
		output, err := exec.CommandContext(t.Context(), "kubectl", args...).CombinedOutput()
		t.Logf("$ kubectl %s (%v)\n%s", strings.Join(args, " "), err, output)
	}
}

// createKubewarden creates the Kubewarden that consoles offer, and trusts the certificate
// of the registry that `cluster env` names.
func (l *life) createKubewarden(t *testing.T) {
	t.Helper()
	kubewarden := &operatorv1alpha1.Kubewarden{}
	l.example(t, "Kubewarden", kubewarden)
	if file := os.Getenv("KUBEWARDEN_REGISTRY_CA"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		kubewarden.Spec.DefaultPolicyServer.Spec.SourceAuthorities = map[string][]string{os.Getenv("KUBEWARDEN_REGISTRY"): {string(pem)}}
	}
	if err := cluster.Create(t.Context(), kubewarden); err != nil {
		t.Fatal(err)
	}
	eventuallyReady(t, kubewarden)
	eventuallyReady(t, &policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: policiesv1.DefaultPolicyServer}})
}

// examplePolicy is the policy that consoles offer, from the cluster's registry, for the
// test's own namespace, and refusing instead of recording.
func (l *life) examplePolicy(t *testing.T) *policiesv1.ClusterAdmissionPolicy {
	t.Helper()
	policy := &policiesv1.ClusterAdmissionPolicy{}
	l.example(t, "ClusterAdmissionPolicy", policy)
	policy.Spec.Mode = policiesv1.PolicyModeProtect
	policy.Spec.Module = "registry://" + os.Getenv("KUBEWARDEN_REGISTRY") + "/policies/" + module
	policy.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: l.namespace}}
	return policy
}

// example decodes the first example of a kind that the installed version offers.
func (l *life) example(t *testing.T, kind string, into client.Object) {
	t.Helper()
	var examples []json.RawMessage
	if err := json.Unmarshal([]byte(l.installed(t).Annotations["alm-examples"]), &examples); err != nil {
		t.Fatal(err)
	}
	for _, example := range examples {
		var head metav1.TypeMeta
		if err := json.Unmarshal(example, &head); err != nil {
			t.Fatal(err)
		}
		if head.Kind == kind {
			if err := json.Unmarshal(example, into); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("the installed version offers no example of kind %s", kind)
}

// attempt asks the API server to create a privileged Pod and keeps nothing.
func (l *life) attempt(t *testing.T) error {
	t.Helper()
	yes := true
	return cluster.Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-", Namespace: l.namespace},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "main", Image: "registry.k8s.io/pause:3.10", SecurityContext: &corev1.SecurityContext{Privileged: &yes},
		}}},
	}, client.DryRunAll)
}

// eventuallyDenied is for a policy whose policy server is new: the webhook is there when the
// replicas are ready, and a node learns a moment later where they are.
func (l *life) eventuallyDenied(t *testing.T) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func() error { return l.attempt(t) }).WithTimeout(10 * time.Second).
		Should(gomega.MatchError(gomega.ContainSubstring(refusal)))
}

func (l *life) expectDenied(t *testing.T) {
	t.Helper()
	if err := l.attempt(t); err == nil || !strings.Contains(err.Error(), refusal) {
		t.Fatalf("a privileged Pod: %v, want %q", err, refusal)
	}
}

// removalCommands are the two groups of indented lines at the end of the operator's
// description: what OLM leaves after a removal in order, and what ends the enforcement when
// the operator was removed first.
func removalCommands(t *testing.T, description string) (rest, byHand string) {
	t.Helper()
	_, section, _ := strings.Cut(description, "\n## Removing it\n")
	var groups []string
	for paragraph := range strings.SplitSeq(section, "\n\n") {
		if strings.HasPrefix(paragraph, "    ") {
			groups = append(groups, paragraph)
		}
	}
	if len(groups) != 2 {
		t.Fatalf("the description of the removal has %d groups of commands, want 2:\n%s", len(groups), section)
	}
	return groups[0], groups[1]
}

// shell runs commands as a reader of the description would.
func shell(t *testing.T, commands string) {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "sh", "-e", "-c", commands).CombinedOutput()
	t.Logf("%s\n%s", commands, output)
	if err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, object client.Object, name string) {
	t.Helper()
	if err := cluster.Get(t.Context(), client.ObjectKey{Name: name}, object); err != nil {
		t.Fatal(err)
	}
}

func eventuallyReady(t *testing.T, object client.Object) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func(g gomega.Gomega) {
		g.Expect(cluster.Get(t.Context(), client.ObjectKeyFromObject(object), object)).To(gomega.Succeed())
		ready := apimeta.FindStatusCondition(conditionsOf(object), policiesv1.ConditionReady)
		g.Expect(ready).NotTo(gomega.BeNil())
		g.Expect(ready.Status).To(gomega.Equal(metav1.ConditionTrue), ready.Message)
	}).WithTimeout(patience).WithPolling(200 * time.Millisecond).Should(gomega.Succeed())
}

func conditionsOf(object client.Object) []metav1.Condition {
	switch object := object.(type) {
	case *operatorv1alpha1.Kubewarden:
		return object.Status.Conditions
	case *policiesv1.PolicyServer:
		return object.Status.Conditions
	case *policiesv1.ClusterAdmissionPolicy:
		return object.Status.Conditions
	default:
		return nil
	}
}

func eventuallyGone(t *testing.T, object client.Object) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func() error {
		return cluster.Get(t.Context(), client.ObjectKeyFromObject(object), object)
	}).WithTimeout(patience).WithPolling(200*time.Millisecond).Should(gomega.MatchError(gomega.ContainSubstring("not found")), "%T %s is stuck", object, object.GetName())
}

// names are the objects of a list, with their kinds.
func names(t *testing.T, list client.ObjectList, options ...client.ListOption) []string {
	t.Helper()
	if err := cluster.List(t.Context(), list, options...); err != nil {
		t.Fatal(err)
	}
	objects, err := apimeta.ExtractList(list)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, object := range objects {
		if named, ok := object.(client.Object); ok {
			found = append(found, fmt.Sprintf("%T %s", named, named.GetName()))
		}
	}
	return found
}
