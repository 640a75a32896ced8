//go:build integration

package audit

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// kind is a kind of objects that are scanned.
type kind struct {
	group, resource string
	// runsPods says that policies about containers judge it.
	runsPods bool
	// share of all objects, in twentieths.
	share int
	make  func(meta metav1.ObjectMeta, number int) client.Object
}

var kinds = []kind{
	{"", "pods", true, 8, pod},
	{"apps", "deployments", true, 2, deployment},
	{"", "configmaps", false, 3, configMap},
	{"", "services", false, 2, service},
	{"networking.k8s.io", "ingresses", false, 1, ingress},
	{"rbac.authorization.k8s.io", "roles", false, 1, role},
	{"rbac.authorization.k8s.io", "rolebindings", false, 1, roleBinding},
	{"", "serviceaccounts", false, 2, serviceAccount},
}

// kindOf is the kind of the object of a number.
func kindOf(number int) kind {
	place := number % 20
	for _, k := range kinds[1:] {
		if place < k.share {
			return k
		}
		place -= k.share
	}
	return kinds[0]
}

// creators is how many objects are made, or changed, at once.
const creators = 8

// world is what is scanned. Namespaces hold objects of all kinds.
type world struct {
	objects []client.Object
}

func newWorld(t *testing.T, c *cluster, objects, namespaces int) *world {
	t.Helper()
	for i := range namespaces {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("team-%03d", i), Labels: map[string]string{"team": fmt.Sprint(i)}}}
		if err := c.Create(t.Context(), namespace); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{}
	var work errgroup.Group
	work.SetLimit(creators)
	for number := range objects {
		meta := metav1.ObjectMeta{
			Name: fmt.Sprintf("object-%05d", number), Namespace: fmt.Sprintf("team-%03d", number*namespaces/objects),
			Labels:      map[string]string{"app.kubernetes.io/name": "web", "app.kubernetes.io/part-of": "shop", fmt.Sprintf("label-%d", number/20%2): "yes"},
			Annotations: map[string]string{"example.com/contact": "team@example.com", "example.com/revision": strings.Repeat("4f", 20)},
		}
		object := kindOf(number).make(meta, number)
		w.objects = append(w.objects, object)
		work.Go(func() error { return c.Create(t.Context(), object) })
	}
	if err := work.Wait(); err != nil {
		t.Fatal(err)
	}
	return w
}

// questions is how many questions policies answer about all objects.
func (w *world) questions(all []policy) int {
	count := 0
	for number := range w.objects {
		count += questions(number, all)
	}
	return count
}

// questions about the object of a number.
func questions(number int, all []policy) int {
	count := 0
	for _, p := range all {
		if p.judges(kindOf(number)) {
			count++
		}
	}
	return count
}

// change changes a hundredth of the objects, of all kinds, and says which.
func (w *world) change(t *testing.T, c *cluster) (numbers []int) {
	t.Helper()
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"annotations":{"example.com/revision":"another"}}}`))
	var work errgroup.Group
	work.SetLimit(creators)
	for number, object := range w.objects {
		// One of each hundred, and of another kind in the next.
		if number%100 == number/100%20 {
			numbers = append(numbers, number)
			work.Go(func() error { return c.Patch(t.Context(), object, patch) })
		}
	}
	if err := work.Wait(); err != nil {
		t.Fatal(err)
	}
	return numbers
}

// capabilities are those that containers have by turns, and that policies allow.
var capabilities = []string{"NET_ADMIN", "SYS_TIME"}

// podSpec has what Pods usually have. Half of them, by turns that differ, violate a policy of
// each module.
func podSpec(number int) corev1.PodSpec {
	container := func(name string, privileged bool) corev1.Container {
		limits := corev1.ResourceList{corev1.ResourceCPU: *resource.NewMilliQuantity(int64(100*(number/20%5)+100), resource.DecimalSI), corev1.ResourceMemory: resource.MustParse("128Mi")}
		probe := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(8080)}}, PeriodSeconds: 10}
		made := corev1.Container{
			Name: name, Image: fmt.Sprintf("r%d.registry.example/shop/%s:1.2.3", number/20%2, name),
			Args:      []string{"--listen=:8080", "--database=postgres://database.example:5432/shop", "--log-level=info"},
			Ports:     []corev1.ContainerPort{{Name: name, ContainerPort: 8080}},
			Resources: corev1.ResourceRequirements{Limits: limits, Requests: limits},
			SecurityContext: &corev1.SecurityContext{
				Privileged:   new(privileged),
				Capabilities: &corev1.Capabilities{Add: []corev1.Capability{corev1.Capability(capabilities[number/40%2])}},
			},
			ReadinessProbe: probe, LivenessProbe: probe,
			VolumeMounts: []corev1.VolumeMount{{Name: "configuration", MountPath: "/etc/shop", ReadOnly: true}, {Name: "scratch", MountPath: "/tmp"}},
		}
		for i := range 8 {
			made.Env = append(made.Env, corev1.EnvVar{Name: fmt.Sprintf("SHOP_SETTING_%d", i), Value: "a value of the usual length"})
		}
		return made
	}
	prepare := container("prepare", number/20%4 == 0)
	prepare.ReadinessProbe, prepare.LivenessProbe = nil, nil
	return corev1.PodSpec{
		InitContainers: []corev1.Container{prepare},
		Containers:     []corev1.Container{container("web", number/20%4 == 1), container("proxy", false)},
		Volumes: []corev1.Volume{
			{Name: "configuration", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "shop"}}}},
			{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		},
	}
}

func pod(meta metav1.ObjectMeta, number int) client.Object {
	return &corev1.Pod{ObjectMeta: meta, Spec: podSpec(number)}
}

func deployment(meta metav1.ObjectMeta, number int) client.Object {
	labels := map[string]string{"app.kubernetes.io/name": "web"}
	return &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
		Replicas: new(int32(3)), Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: podSpec(number)},
	}}
}

func configMap(meta metav1.ObjectMeta, _ int) client.Object {
	return &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"shop.yml": strings.Repeat("setting: a value of the usual length\n", 100)}}
}

func service(meta metav1.ObjectMeta, _ int) client.Object {
	return &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
		ClusterIP: corev1.ClusterIPNone, Selector: map[string]string{"app.kubernetes.io/name": "web"},
		Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}},
	}}
}

func ingress(meta metav1.ObjectMeta, number int) client.Object {
	backend := networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "web", Port: networkingv1.ServiceBackendPort{Number: 80}}}
	path := networkingv1.HTTPIngressPath{Path: "/", PathType: new(networkingv1.PathTypePrefix), Backend: backend}
	return &networkingv1.Ingress{ObjectMeta: meta, Spec: networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{{
		Host:             fmt.Sprintf("shop-%d.example.com", number),
		IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{path}}},
	}}}}
}

func role(meta metav1.ObjectMeta, _ int) client.Object {
	return &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"configmaps", "services", "endpoints"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"get", "patch"}},
	}}
}

func roleBinding(meta metav1.ObjectMeta, _ int) client.Object {
	return &rbacv1.RoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "web"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "web", Namespace: meta.Namespace}},
	}
}

func serviceAccount(meta metav1.ObjectMeta, _ int) client.Object {
	return &corev1.ServiceAccount{ObjectMeta: meta}
}
