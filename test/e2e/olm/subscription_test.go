//go:build e2e_olm

package olm

import (
	"slices"
	"testing"
	"time"

	"github.com/onsi/gomega"
	operatorsv1 "github.com/operator-framework/api/pkg/operators/v1"
	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// subscribe asks OLM for the operator, from the given version on. What it installs waits
// for approve.
func (l *life) subscribe(t *testing.T, version string) {
	t.Helper()
	place := metav1.ObjectMeta{Name: operatorName, Namespace: namespaceName}
	for _, object := range []client.Object{
		l.bundle.namespace.DeepCopy(),
		// Without target namespaces the group is of all namespaces.
		&operatorsv1.OperatorGroup{ObjectMeta: place},
		&operatorsv1alpha1.CatalogSource{ObjectMeta: place, Spec: operatorsv1alpha1.CatalogSourceSpec{
			SourceType: operatorsv1alpha1.SourceTypeGrpc, Address: catalogAddress, DisplayName: "Kubewarden",
		}},
		&operatorsv1alpha1.Subscription{ObjectMeta: place, Spec: &operatorsv1alpha1.SubscriptionSpec{
			CatalogSource: operatorName, CatalogSourceNamespace: namespaceName, Package: operatorName, Channel: "stable",
			StartingCSV: version, InstallPlanApproval: operatorsv1alpha1.ApprovalManual,
		}},
	} {
		if err := cluster.Create(t.Context(), object); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatalf("create %T: %v", object, err)
		}
	}
}

// approve waits until OLM wants to install a version and lets it; it returns the version.
func (l *life) approve(t *testing.T) (version string) {
	t.Helper()
	g := gomega.NewWithT(t)
	g.Eventually(func() error {
		plans := &operatorsv1alpha1.InstallPlanList{}
		g.Expect(cluster.List(t.Context(), plans, client.InNamespace(namespaceName))).To(gomega.Succeed())
		for i := range plans.Items {
			plan := &plans.Items[i]
			if plan.Spec.Approved || plan.Status.Phase != operatorsv1alpha1.InstallPlanPhaseRequiresApproval {
				continue
			}
			version = plan.Spec.ClusterServiceVersionNames[0]
			plan.Spec.Approved = true
			return cluster.Update(t.Context(), plan)
		}
		return apierrors.NewNotFound(operatorsv1alpha1.Resource("installplans"), "one that waits for approval")
	}).WithTimeout(patience).WithPolling(200 * time.Millisecond).Should(gomega.Succeed())
	return version
}

func (l *life) succeeded(t *testing.T, version string) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func(g gomega.Gomega) {
		csv := &operatorsv1alpha1.ClusterServiceVersion{}
		g.Expect(cluster.Get(t.Context(), client.ObjectKey{Namespace: namespaceName, Name: version}, csv)).To(gomega.Succeed())
		g.Expect(csv.Status.Phase).To(gomega.Equal(operatorsv1alpha1.CSVPhaseSucceeded), csv.Status.Message)
	}).WithTimeout(patience).WithPolling(200 * time.Millisecond).Should(gomega.Succeed())
}

func (l *life) gone(t *testing.T, version string) {
	t.Helper()
	eventuallyGone(t, &operatorsv1alpha1.ClusterServiceVersion{ObjectMeta: metav1.ObjectMeta{Namespace: namespaceName, Name: version}})
}

func (l *life) installed(t *testing.T) *operatorsv1alpha1.ClusterServiceVersion {
	t.Helper()
	csv := &operatorsv1alpha1.ClusterServiceVersion{}
	if err := cluster.Get(t.Context(), client.ObjectKey{Namespace: namespaceName, Name: l.version}, csv); err != nil {
		t.Fatal(err)
	}
	return csv
}

// unsubscribe removes the subscription and the installed version, and waits until the
// operator and its rights are gone. OLM leaves the Role and its binding in the namespace;
// with the account gone they are nobody's.
func (l *life) unsubscribe(t *testing.T) {
	t.Helper()
	g := gomega.NewWithT(t)
	place := metav1.ObjectMeta{Name: operatorName, Namespace: namespaceName}
	g.Expect(cluster.Delete(t.Context(), &operatorsv1alpha1.Subscription{ObjectMeta: place})).To(gomega.Succeed())
	g.Expect(cluster.Delete(t.Context(), l.installed(t))).To(gomega.Succeed())
	l.gone(t, l.version)
	for _, object := range []client.Object{&appsv1.Deployment{ObjectMeta: place}, &corev1.ServiceAccount{ObjectMeta: place}} {
		eventuallyGone(t, object)
	}
	g.Eventually(func() []string {
		return names(t, &admissionregistrationv1.ValidatingWebhookConfigurationList{}, client.MatchingLabels{"olm.owner": l.version})
	}).WithTimeout(patience).Should(gomega.BeEmpty(), "the API server asks an operator that is gone")
	g.Eventually(func() []string {
		bindings := &rbacv1.ClusterRoleBindingList{}
		g.Expect(cluster.List(t.Context(), bindings)).To(gomega.Succeed())
		return boundTo(bindings.Items)
	}).WithTimeout(patience).Should(gomega.BeEmpty(), "the operator's account is bound still")
}

// boundTo names the bindings of the operator's account.
func boundTo(bindings []rbacv1.ClusterRoleBinding) (names []string) {
	for i := range bindings {
		if slices.ContainsFunc(bindings[i].Subjects, func(subject rbacv1.Subject) bool {
			return subject.Namespace == namespaceName && subject.Name == operatorName
		}) {
			names = append(names, bindings[i].Name)
		}
	}
	return names
}
