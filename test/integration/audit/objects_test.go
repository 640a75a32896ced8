//go:build integration

package audit

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/audit/report"
)

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, policiesv1.AddToScheme, operatorv1alpha1.AddToScheme, report.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	return scheme, nil
}

func newClient(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	scheme, err := newScheme()
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func namespace(name string, labels map[string]string) *corev1.Namespace {
	return &corev1.Namespace{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}, ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
	}
}

func configMap(namespace, name string, labels map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: labels},
	}
}

func widget(namespace, name string, labels map[string]string) *unstructured.Unstructured {
	w := &unstructured.Unstructured{}
	w.SetGroupVersionKind(schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Widget"})
	w.SetNamespace(namespace)
	w.SetName(name)
	w.SetLabels(labels)
	return w
}

// judged are the objects that the policies are about.
func judged() []client.Object {
	web := map[string]string{"app": "web"}
	objects := []client.Object{
		namespace("plain", nil), namespace("prod", map[string]string{"env": "prod"}), namespace("test", map[string]string{"env": "test", "app": "web"}),
		namespace("exempted", map[string]string{"env": "prod"}), namespace("kubewarden", map[string]string{"env": "prod"}),
		&storagev1.StorageClass{TypeMeta: metav1.TypeMeta{APIVersion: "storage.k8s.io/v1", Kind: "StorageClass"}, ObjectMeta: metav1.ObjectMeta{Name: "slow", Labels: web}, Provisioner: "example.com/slow"},
		&operatorv1alpha1.Kubewarden{TypeMeta: metav1.TypeMeta{APIVersion: "operator.kubewarden.io/v1alpha1", Kind: "Kubewarden"}, ObjectMeta: metav1.ObjectMeta{Name: "kubewarden"}},
	}
	for _, ns := range []string{"plain", "prod", "test", "exempted", "kubewarden"} {
		withData := configMap(ns, "web", web)
		withData.Data = map[string]string{"key": "value"}
		objects = append(objects, withData, configMap(ns, "other", map[string]string{"app": "db"}), configMap(ns, "bare", nil), pod(ns, "web", web), widget(ns, "one", web))
	}
	for _, ns := range []string{"prod", "kube-system", "kube-node-lease"} {
		objects = append(objects, &coordinationv1.Lease{
			TypeMeta: metav1.TypeMeta{APIVersion: "coordination.k8s.io/v1", Kind: "Lease"}, ObjectMeta: metav1.ObjectMeta{Name: "leader", Namespace: ns},
		})
	}
	return append(objects, deployment("prod", "web", web), scaler("prod", "web"))
}

func pod(namespace, name string, labels map[string]string) *corev1.Pod {
	return &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "registry.example.com/main:1"}}},
	}
}

func deployment(namespace, name string, labels map[string]string) *appsv1.Deployment {
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod(namespace, name, nil).Spec},
		},
	}
}

func scaler(namespace, name string) *autoscalingv2.HorizontalPodAutoscaler {
	return &autoscalingv2.HorizontalPodAutoscaler{
		TypeMeta:   metav1.TypeMeta{APIVersion: "autoscaling/v2", Kind: "HorizontalPodAutoscaler"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec:       autoscalingv2.HorizontalPodAutoscalerSpec{ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name}, MaxReplicas: 2},
	}
}

// versionsOf are those in which the API server serves an object.
func versionsOf(object client.Object) []schema.GroupVersionKind {
	gvk := object.GetObjectKind().GroupVersionKind()
	switch gvk.Kind {
	case "Widget", "HorizontalPodAutoscaler":
		return []schema.GroupVersionKind{gvk.GroupKind().WithVersion("v1"), gvk.GroupKind().WithVersion("v2")}
	default:
		return []schema.GroupVersionKind{gvk}
	}
}

func empty(version schema.GroupVersionKind, object client.Object) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(version)
	u.SetNamespace(object.GetNamespace())
	u.SetName(object.GetName())
	return u
}

// withoutIdentity is what would be sent to make the object anew. Specs of the test's objects
// mean the same in every version in which they are sent.
func withoutIdentity(object client.Object, version schema.GroupVersionKind) client.Object {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		panic(err)
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetGroupVersionKind(version)
	for _, field := range []string{"uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"} {
		unstructured.RemoveNestedField(u.Object, "metadata", field)
	}
	unstructured.RemoveNestedField(u.Object, "status")
	return u
}

// grants are the rights of the user: everything on what is judged, and to read policies; no
// Secrets, which conditions ask about.
func grants() []client.Object {
	role := &rbacv1.ClusterRole{
		TypeMeta: metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole"}, ObjectMeta: metav1.ObjectMeta{Name: "judged"},
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"configmaps", "pods", "namespaces"}, Verbs: []string{"*"}},
			{APIGroups: []string{"apps", "autoscaling", "example.com", "storage.k8s.io", "coordination.k8s.io", "operator.kubewarden.io"}, Resources: []string{"*"}, Verbs: []string{"*"}},
			{APIGroups: []string{policiesv1.GroupVersion.Group}, Resources: []string{"*"}, Verbs: []string{"get", "list"}},
		},
	}
	binding := &rbacv1.ClusterRoleBinding{
		TypeMeta: metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRoleBinding"}, ObjectMeta: metav1.ObjectMeta{Name: "judged"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}},
	}
	return []client.Object{role, binding}
}
