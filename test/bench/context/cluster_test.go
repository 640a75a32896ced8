//go:build integration

package context

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

const (
	// startTimeout is for a machine that has other things to do.
	startTimeout = 2 * time.Minute
	// writers is how many objects are made at the same time.
	writers = 16
	// bindingsIn is how many namespaces the RoleBindings are in.
	bindingsIn = 10
)

// cluster is an API server with its etcd.
type cluster struct {
	kubernetes.Interface
	kubeconfig []byte
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	log.SetLogger(logr.Discard())
	env := &envtest.Environment{ControlPlaneStartTimeout: startTimeout}
	// What has been started ends also when the rest could not be.
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error("stop the API server:", err)
		}
	})
	config, err := env.Start()
	if err != nil {
		t.Fatal("start the API server:", err)
	}
	c := &cluster{}
	admin, err := env.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.kubeconfig, err = admin.KubeConfig(); err != nil {
		t.Fatal(err)
	}
	config.QPS = -1 // the API server sees to fairness
	if c.Interface, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	return c
}

// fill makes the objects.
func (c *cluster) fill(t *testing.T, namespaces, bindings int) {
	t.Helper()
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(writers)
	for i := range namespaces {
		group.Go(func() error {
			object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
				Name: nameOf(i), Labels: map[string]string{"team": strconv.Itoa(i % 100), "cost-centre": "4711"},
				Annotations: map[string]string{"owner": nameOf(i) + "@example.com", "purpose": "what this namespace is for, in a few words"},
			}}
			_, err := c.CoreV1().Namespaces().Create(ctx, object, metav1.CreateOptions{})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	group, ctx = errgroup.WithContext(t.Context())
	group.SetLimit(writers)
	for i := range bindings {
		group.Go(func() error {
			object := &rbacv1.RoleBinding{
				ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("binding-%05d", i), Namespace: nameOf(i % bindingsIn), Labels: map[string]string{"team": strconv.Itoa(i % 100)}},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
				Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: fmt.Sprintf("account-%05d", i), Namespace: nameOf(i % bindingsIn)}},
			}
			_, err := c.RbacV1().RoleBindings(object.Namespace).Create(ctx, object, metav1.CreateOptions{})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

func nameOf(namespace int) string { return fmt.Sprintf("team-%04d", namespace) }

// label is a patch that changes an object.
func label(version int) []byte {
	return fmt.Appendf(nil, `{"metadata":{"labels":{"version":"%d"}}}`, version)
}

func (c *cluster) changeNamespace(ctx context.Context, version int) error {
	_, err := c.CoreV1().Namespaces().Patch(ctx, nameOf(7), types.MergePatchType, label(version), metav1.PatchOptions{})
	return err
}

func (c *cluster) changeBinding(ctx context.Context, version int) error {
	_, err := c.RbacV1().RoleBindings(nameOf(7)).Patch(ctx, "binding-00007", types.MergePatchType, label(version), metav1.PatchOptions{})
	return err
}
