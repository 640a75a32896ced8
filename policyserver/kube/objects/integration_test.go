//go:build integration

package objects

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

// All operations, against a real API server: what the account may not do at first, it may
// once a role lets it.
func TestAgainstAnAPIServer(t *testing.T) {
	environment := &envtest.Environment{}
	adminConfig, err := environment.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = environment.Stop() })
	admin := kubernetes.NewForConfigOrDie(adminConfig)
	user, err := environment.AddUser(envtest.User{Name: "reader", Groups: []string{"readers"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	clients, err := NewClients(user.Config())
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{Capability: New(Config{Clients: clients, Logger: slog.New(slog.DiscardHandler), Now: time.Now})}
	t.Cleanup(c.Close)

	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "one", Namespace: "default", Labels: map[string]string{"app": "a"}}, Data: map[string]string{"k": "v"}}
	if _, err := admin.CoreV1().ConfigMaps("default").Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	const (
		listing   = `{"api_version":"v1","kind":"ConfigMap","namespace":"default","label_selector":"app=a","field_masks":["data"]}`
		getting   = `{"api_version":"v1","kind":"ConfigMap","namespace":"default","name":"one","disable_cache":true,"field_masks":["data"]}`
		reviewing = `{"subject_access_review":{"user":"system:admin","groups":["system:masters"],"resource_attributes":{"verb":"get","resource":"pods"}},"disable_cache":true}`
	)
	for operation, payload := range map[string]string{operationList: listing, operationGet: getting, operationCanI: reviewing} {
		got, err := c.as(t, asking{"", operation, payload}, "ConfigMap")
		checkAnswer(t, got, err, expected{"", "the account of the policy server lacks the right to "})
	}
	allow(t, admin)
	got := c.eventually(t, operationList, listing, `"data":{"k":"v"}`)
	if strings.Contains(got, "managedFields") || !strings.HasPrefix(got, `{"apiVersion":"v1","kind":"ConfigMapList","metadata":{},"items":[{"apiVersion":"v1",`) {
		t.Errorf("got list %s", got)
	}
	c.eventually(t, operationGet, getting, `"data":{"k":"v"}`)
	c.eventually(t, operationCanI, reviewing, `{"allowed":true`)
	c.eventually(t, operationListAll, `{"api_version":"v1","kind":"ConfigMap","field_selector":"metadata.name=one"}`, `"name":"one"`)
	if document := c.inventory(t, host.FormOPA, "ConfigMap"); !strings.Contains(document, `"default":{`) || !strings.Contains(document, `"one":{"apiVersion":"v1"`) {
		t.Errorf("got data %s", document)
	}

	if document := c.inventory(t, host.FormGatekeeper, "ConfigMap"); !strings.HasPrefix(document, `{"cluster":{},"namespace":{`) || !strings.Contains(document, `"default":{"v1":{"ConfigMap":{`) || !strings.Contains(document, `"one":{"apiVersion":"v1"`) {
		t.Errorf("got data %s", document)
	}

	// The policy of a namespace reads that one, and no other, whatever the account may read.
	own, err := c.as(t, asking{"default", operationList, listing}, "ConfigMap")
	if err != nil || !strings.Contains(own, `"data":{"k":"v"}`) {
		t.Errorf("its own namespace: got %s, %v", own, err)
	}
	for operation, payload := range map[string]string{
		operationList: strings.Replace(listing, `"namespace":"default"`, `"namespace":"kube-system"`, 1),
		operationGet:  strings.Replace(getting, `"namespace":"default"`, `"namespace":"kube-system"`, 1), operationListAll: listing,
	} {
		got, err := c.as(t, asking{"default", operation, payload}, "ConfigMap")
		checkAnswer(t, got, err, expected{"", "Policy has not been granted access to Kubernetes v1/ConfigMap resources."})
	}

	object.Data = map[string]string{"k": "w"}
	if _, err := admin.CoreV1().ConfigMaps("default").Update(t.Context(), object, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.eventually(t, operationList, listing, `"data":{"k":"w"}`)
}

// allow lets the account read ConfigMaps and make reviews.
func allow(t *testing.T, admin kubernetes.Interface) {
	t.Helper()
	ctx := t.Context()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "reader"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{"authorization.k8s.io"}, Resources: []string{"subjectaccessreviews"}, Verbs: []string{"create"}},
	}}
	if _, err := admin.RbacV1().ClusterRoles().Create(ctx, role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "reader"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "reader"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "Group", Name: "readers"}},
	}
	if _, err := admin.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// eventually asks until the answer holds a text.
func (c *cluster) eventually(t *testing.T, operation, payload, want string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		got, err := c.as(t, asking{"", operation, payload}, "ConfigMap")
		if err == nil && strings.Contains(got, want) {
			return got
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: got %s, %v; want an answer with %s", operation, got, err, want)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
