//go:build e2e_olm

package olm

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// The stages build on each other, so the first that fails is the last.
func TestLifeUnderOLM(t *testing.T) {
	life := newLife(t)
	passed := t.Run("a subscription installs the first version", life.install) &&
		t.Run("the operator may touch secrets in its own namespace only", life.rights) &&
		t.Run("what is wrong with a policy is said when it is written", life.checks) &&
		t.Run("the offered examples make an installation that denies a Pod", life.enforce) &&
		t.Run("the next version takes over, and no request passes unjudged", life.upgrade) &&
		t.Run("the next version checks policies too", life.checks) &&
		t.Run("removed in order, nothing stays but what is the user's", life.removeInOrder) &&
		t.Run("installed again, policies come back in force", life.installAgain) &&
		t.Run("without an operator policies stay in force, and the documented commands end that", life.removeOperatorFirst)
	if !passed {
		life.explain(t)
	}
}

// life is one installation from the first subscription to the end.
type life struct {
	bundle bundle
	// namespace is where Pods are attempted.
	namespace string
	policy    *policiesv1.ClusterAdmissionPolicy
	// version is the ClusterServiceVersion that is installed.
	version string
}

func (l *life) install(t *testing.T) {
	l.subscribe(t, l.bundle.version)
	l.approve(t)
	l.version = l.bundle.version
	l.succeeded(t, l.version)
}

func (l *life) rights(t *testing.T) {
	for _, tc := range []struct {
		verb, group, resource, namespace string
		want                             bool
	}{
		{"get", "", "secrets", "kube-system", false},
		{"list", "", "secrets", "", false},
		{"create", "apps", "deployments", l.namespace, false},
		{"update", "rbac.authorization.k8s.io", "clusterroles", "", false},
		{"get", "", "secrets", namespaceName, true},
		{"patch", "apps", "deployments", namespaceName, true},
		{"list", "policies.kubewarden.io", "policyservers", "", true},
	} {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:               "system:serviceaccount:" + namespaceName + ":" + operatorName,
			Groups:             []string{"system:serviceaccounts", "system:serviceaccounts:" + namespaceName, "system:authenticated"},
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: tc.verb, Group: tc.group, Resource: tc.resource, Namespace: tc.namespace},
		}}
		if err := cluster.Create(t.Context(), review); err != nil {
			t.Fatal(err)
		}
		if review.Status.Allowed != tc.want {
			t.Errorf("may the operator %s %s in namespace %q? %t, want %t: %s", tc.verb, tc.resource, tc.namespace, review.Status.Allowed, tc.want, review.Status.Reason)
		}
	}
}

// checks has the webhooks of the operator's own kinds refuse what no schema can, with the
// certificate that OLM issued.
func (l *life) checks(t *testing.T) {
	longNames := &policiesv1.AdmissionPolicy{}
	l.example(t, "AdmissionPolicy", longNames)
	longNames.Namespace, longNames.Name = l.namespace, strings.Repeat("n", 220)
	brokenExpression := &policiesv1.ClusterAdmissionPolicyGroup{}
	l.example(t, "ClusterAdmissionPolicyGroup", brokenExpression)
	brokenExpression.Spec.Expression = "unprivileged() && missing()"
	for _, tc := range []struct {
		policy client.Object
		want   []string
	}{
		{longNames, []string{`webhook "vadmissionpolicy.kb.io`, "metadata.name", "too long"}},
		{brokenExpression, []string{`webhook "vclusteradmissionpolicygroup.kb.io`, "spec.expression", "missing"}},
	} {
		g := gomega.NewWithT(t)
		// A webhook that does not answer yet is passed by.
		g.Eventually(func() string {
			return fmt.Sprint(cluster.Create(t.Context(), tc.policy.DeepCopyObject().(client.Object), client.DryRunAll))
		}).WithTimeout(patience).WithPolling(200 * time.Millisecond).Should(containAll(tc.want))
	}
}

// containAll matches a text that holds all the words.
func containAll(words []string) types.GomegaMatcher {
	matchers := make([]types.GomegaMatcher, 0, len(words))
	for _, word := range words {
		matchers = append(matchers, gomega.ContainSubstring(word))
	}
	return gomega.And(matchers...)
}

func (l *life) enforce(t *testing.T) {
	l.createKubewarden(t)
	l.policy = l.examplePolicy(t)
	gomega.NewWithT(t).Expect(cluster.Create(t.Context(), l.policy)).To(gomega.Succeed())
	eventuallyReady(t, l.policy)
	l.eventuallyDenied(t)

	weaker := l.policy.DeepCopy()
	weaker.Spec.Mode = policiesv1.PolicyModeMonitor
	if err := cluster.Update(t.Context(), weaker, client.DryRunAll); err == nil || !strings.Contains(err.Error(), "protect to monitor") {
		t.Errorf("a policy goes from protect to monitor: %v, want a refusal", err)
	}
}

// upgrade attempts a Pod that the policy refuses, over and over, while the operator is
// replaced.
func (l *life) upgrade(t *testing.T) {
	kubewarden := &operatorv1alpha1.Kubewarden{}
	get(t, kubewarden, operatorv1alpha1.KubewardenName)
	before := kubewarden.UID

	done := make(chan struct{})
	var attempts sync.WaitGroup
	attempts.Go(func() {
		for count := 0; ; count++ {
			select {
			case <-done:
				t.Logf("%d attempts were denied while the version changed", count)
				return
			case <-time.After(50 * time.Millisecond):
				if err := l.attempt(t); err == nil || !strings.Contains(err.Error(), refusal) {
					t.Errorf("attempt %d: %v, want the policy's refusal", count, err)
				}
			}
		}
	})
	l.version = l.approve(t)
	l.succeeded(t, l.version)
	l.gone(t, l.bundle.version)
	eventuallyReady(t, l.policy)
	close(done)
	attempts.Wait()

	get(t, kubewarden, operatorv1alpha1.KubewardenName)
	if kubewarden.UID != before {
		t.Error("the upgrade made the Kubewarden anew")
	}
}

func (l *life) removeInOrder(t *testing.T) {
	g := gomega.NewWithT(t)
	kubewarden := &operatorv1alpha1.Kubewarden{ObjectMeta: metav1.ObjectMeta{Name: operatorv1alpha1.KubewardenName}}
	g.Expect(cluster.Delete(t.Context(), kubewarden)).To(gomega.Succeed())
	eventuallyGone(t, kubewarden)
	g.Eventually(func() []string { return leftovers(t) }).WithTimeout(time.Minute).Should(gomega.BeEmpty())
	g.Expect(l.attempt(t)).To(gomega.Succeed(), "a policy is enforced without an installation")

	l.unsubscribe(t)
	get(t, l.policy, l.policy.Name)
	g.Expect(l.policy.Finalizers).To(gomega.BeEmpty(), "the policy waits for an operator that is gone")
	for _, name := range l.bundle.definitions {
		get(t, &apiextensionsv1.CustomResourceDefinition{}, name)
	}
}

func (l *life) installAgain(t *testing.T) {
	l.subscribe(t, l.version)
	l.approve(t)
	l.succeeded(t, l.version)
	l.createKubewarden(t)
	eventuallyReady(t, l.policy)
	l.eventuallyDenied(t)
}

func (l *life) removeOperatorFirst(t *testing.T) {
	g := gomega.NewWithT(t)
	rest, byHand := removalCommands(t, l.installed(t).Spec.Description)
	l.unsubscribe(t)
	l.expectDenied(t)

	shell(t, byHand)
	g.Expect(l.attempt(t)).To(gomega.Succeed(), "the policy is enforced still")

	kubewarden := &operatorv1alpha1.Kubewarden{ObjectMeta: metav1.ObjectMeta{Name: operatorv1alpha1.KubewardenName}}
	g.Expect(cluster.Delete(t.Context(), kubewarden)).To(gomega.Succeed())
	g.Expect(cluster.Delete(t.Context(), l.policy)).To(gomega.Succeed())
	eventuallyGone(t, kubewarden)
	eventuallyGone(t, l.policy)
	g.Eventually(func() []string { return leftovers(t) }).WithTimeout(time.Minute).Should(gomega.BeEmpty())
	shell(t, rest)
	eventuallyGone(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespaceName}})
	g.Expect(names(t, &rbacv1.ClusterRoleList{}, client.MatchingLabels{partOf: kubewardenName})).To(gomega.BeEmpty())
}

// leftovers are the objects of an installation that is gone.
func leftovers(t *testing.T) []string {
	t.Helper()
	lists := map[client.ObjectList][]client.ListOption{
		&admissionregistrationv1.ValidatingWebhookConfigurationList{}: {client.MatchingLabels{partOf: kubewardenName}},
		&admissionregistrationv1.MutatingWebhookConfigurationList{}:   {client.MatchingLabels{partOf: kubewardenName}},
		&policiesv1.PolicyServerList{}:                                {},
		&operatorv1alpha1.KubewardenList{}:                            {},
		&rbacv1.ClusterRoleBindingList{}:                              {client.MatchingLabels{partOf: kubewardenName}},
		&batchv1.CronJobList{}:                                        {client.InNamespace(namespaceName)},
		&batchv1.JobList{}:                                            {client.InNamespace(namespaceName)},
		&corev1.PodList{}:                                             {client.InNamespace(namespaceName), client.HasLabels{"kubewarden/policy-server"}},
		&corev1.ConfigMapList{}:                                       {client.InNamespace(namespaceName), client.HasLabels{"kubewarden/policy-server"}},
		&corev1.ServiceList{}:                                         {client.InNamespace(namespaceName), client.HasLabels{"kubewarden/policy-server"}},
	}
	left := make([]string, 0, len(lists))
	for list, options := range lists {
		left = append(left, names(t, list, options...)...)
	}
	return left
}
