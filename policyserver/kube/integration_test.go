//go:build integration

package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// cluster is a real API server with etcd; server is a client with just the rights of a
// policy server, admin one with all.
type cluster struct {
	environment   *envtest.Environment
	admin, server kubernetes.Interface
}

var shared cluster

const (
	namespace    = "default"
	configMap    = "policy-server-default"
	reports      = "policy-server-default-replicas"
	serverGroup  = "policy-servers"
	eventualWait = 30 * time.Second
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		shared.environment = &envtest.Environment{}
		admin, err := shared.environment.Start()
		if err != nil {
			fmt.Fprintln(os.Stderr, "start the API server:", err)
			return 1
		}
		defer func() { _ = shared.environment.Stop() }()
		if err := shared.prepare(admin); err != nil {
			fmt.Fprintln(os.Stderr, "prepare the API server:", err)
			return 1
		}
		return m.Run()
	}())
}

func (c *cluster) prepare(admin *rest.Config) error {
	c.admin = kubernetes.NewForConfigOrDie(admin)
	user, err := c.environment.AddUser(envtest.User{Name: "pod", Groups: []string{serverGroup}}, nil)
	if err != nil {
		return err
	}
	c.server = kubernetes.NewForConfigOrDie(user.Config())
	ctx := context.Background()
	_, err = c.admin.RbacV1().Roles(namespace).Create(ctx, &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "policy-server"},
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{configMap}, Verbs: []string{"get", "list", "watch"}},
			{APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{reports}, Verbs: []string{"get", "patch"}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	_, err = c.admin.RbacV1().RoleBindings(namespace).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "policy-server"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "policy-server"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "Group", Name: serverGroup}},
	}, metav1.CreateOptions{})
	return err
}

// put makes or replaces the data of a ConfigMap, as the operator does.
func put(t *testing.T, name string, data map[string]string) {
	t.Helper()
	maps := shared.admin.CoreV1().ConfigMaps(namespace)
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data}
	_, err := maps.Create(t.Context(), object, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		_, err = maps.Update(t.Context(), object, metav1.UpdateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	err := shared.admin.CoreV1().ConfigMaps(namespace).Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
}

// run starts something that ends with the test.
func run(t *testing.T, what func(context.Context)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		what(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(eventualWait)
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("%s did not come true in %s", what, eventualWait)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestConfigMapWatch(t *testing.T) {
	remove(t, configMap)
	put(t, "another", map[string]string{"policies.yml": "no"})
	var mu sync.Mutex
	var seen []string
	last := func(want string) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(seen) > 0 && seen[len(seen)-1] == want
		}
	}
	run(t, ConfigMapWatch{
		Client: shared.server, Namespace: namespace, Name: configMap, Logger: slog.New(slog.DiscardHandler),
		Changed: func(data map[string]string) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, data[contract.KeyPolicies])
		},
	}.Run)
	put(t, configMap, map[string]string{contract.KeyPolicies: "one"})
	eventually(t, "the first configuration", last("one"))
	put(t, configMap, map[string]string{contract.KeyPolicies: "two"})
	eventually(t, "a change", last("two"))
	remove(t, configMap)
	put(t, configMap, map[string]string{contract.KeyPolicies: "three"})
	eventually(t, "a configuration after it was deleted", last("three"))
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff([]string{"one", "two", "three"}, seen); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// replica is a reporter and what it has to report.
type replica struct {
	*Reporter

	mu     sync.Mutex
	report contract.Report
}

func newReplica(name string) *replica {
	r := &replica{report: contract.Report{Contract: contract.Version, Version: "0.1.0", StartTime: name}}
	r.Reporter = NewReporter(ReporterConfig{
		Client: shared.server, Namespace: namespace, Name: reports, Replica: name,
		Report: func() contract.Report {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.report
		},
		Interval: 10 * time.Millisecond, Repeat: time.Hour, RetryFirst: 20 * time.Millisecond, RetryMost: 200 * time.Millisecond,
		Logger: slog.New(slog.DiscardHandler),
	})
	return r
}

func (r *replica) set(change func(*contract.Report)) {
	r.mu.Lock()
	change(&r.report)
	r.mu.Unlock()
	r.Changed()
}

// written gives the ConfigMap of the reports, decoded.
func written(t *testing.T) (*corev1.ConfigMap, map[string]contract.Report) {
	t.Helper()
	object, err := shared.admin.CoreV1().ConfigMaps(namespace).Get(t.Context(), reports, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	decoded, unreadable := contract.DecodeReports(object.Data, object.BinaryData)
	if len(unreadable) > 0 {
		t.Fatal(unreadable)
	}
	return object, decoded
}

func TestReporterWaitsForItsConfigMap(t *testing.T) {
	remove(t, reports)
	one := newReplica("one")
	run(t, one.Run)
	one.Changed()
	time.Sleep(500 * time.Millisecond) // several attempts
	if one.Ready() == nil {
		t.Fatal("ready without a report")
	}
	if _, err := shared.admin.CoreV1().ConfigMaps(namespace).Get(t.Context(), reports, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Fatalf("got %v, want no ConfigMap: making it is not the server's business", err)
	}
	put(t, reports, nil)
	eventually(t, "the first report", func() bool { return one.Ready() == nil })
	if _, decoded := written(t); decoded["one"].StartTime != "one" {
		t.Errorf("got %+v", decoded)
	}
}

func TestReporterWritesItsOwnKeyOnly(t *testing.T) {
	remove(t, reports)
	put(t, reports, nil)
	replicas := map[string]*replica{}
	for i := range 4 {
		name := fmt.Sprint("replica-", i)
		replicas[name] = newReplica(name)
		run(t, replicas[name].Run)
	}
	for round := range 5 {
		for name, r := range replicas {
			r.set(func(report *contract.Report) { report.SetRevision = fmt.Sprint(name, " ", round) })
		}
		for name := range replicas {
			eventually(t, "the report of every replica", func() bool {
				_, decoded := written(t)
				return decoded[name].SetRevision == fmt.Sprint(name, " ", round)
			})
		}
	}
	// The operator takes away the key of a Pod that is gone; the others stay.
	patch := []byte(`{"data":{"replica-0":null}}`)
	if _, err := shared.admin.CoreV1().ConfigMaps(namespace).Patch(t.Context(), reports, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	replicas["replica-1"].set(func(report *contract.Report) { report.SetRevision = "after" })
	eventually(t, "a report after that", func() bool { _, decoded := written(t); return decoded["replica-1"].SetRevision == "after" })
	if _, decoded := written(t); len(decoded) != 3 {
		t.Errorf("got %d reports, want 3", len(decoded))
	}
}

func TestReporterReplacesWhatIsGone(t *testing.T) {
	remove(t, reports)
	put(t, reports, nil)
	one := newReplica("one")
	one.config.Repeat = 50 * time.Millisecond
	run(t, one.Run)
	one.Changed()
	eventually(t, "the first report", func() bool { return one.Ready() == nil })
	stands := func() bool {
		object, err := shared.admin.CoreV1().ConfigMaps(namespace).Get(t.Context(), reports, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		decoded, _ := contract.DecodeReports(object.Data, object.BinaryData)
		return decoded["one"].StartTime == "one"
	}
	for name, data := range map[string]any{"taken away": nil, "overwritten": "nonsense"} {
		patch, err := json.Marshal(map[string]any{"data": map[string]any{"one": data}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := shared.admin.CoreV1().ConfigMaps(namespace).Patch(t.Context(), reports, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the report that was "+name, stands)
	}
	remove(t, reports)
	put(t, reports, nil)
	eventually(t, "the report in a new ConfigMap", stands)
}

func TestReporterMovesBetweenDataAndBinaryData(t *testing.T) {
	remove(t, reports)
	put(t, reports, nil)
	one := newReplica("one")
	run(t, one.Run)
	fill := func(policies int) {
		one.set(func(report *contract.Report) {
			report.Policies = map[string]contract.Served{}
			for i := range policies {
				report.Policies[fmt.Sprintf("kw.cap.%s-%d", strings.Repeat("x", 50), i)] = contract.Served{Revision: "0123456789ab", ModuleDigest: "0123456789ab"}
			}
		})
	}
	for _, policies := range []int{3, 600, 2, 700} {
		fill(policies)
		eventually(t, fmt.Sprint("a report of ", policies, " policies"), func() bool {
			_, decoded := written(t)
			return len(decoded["one"].Policies) == policies
		})
		object, _ := written(t)
		_, plain := object.Data["one"]
		_, packed := object.BinaryData["one"]
		if large := policies > 100; plain == large || packed != large {
			t.Errorf("%d policies: got a key in data %t, in binaryData %t", policies, plain, packed)
		}
	}
	one.SetLimit(1000)
	eventually(t, "a shorter report", func() bool { _, decoded := written(t); return decoded["one"].Truncated })
}

func TestReporterIsSilentWithoutNews(t *testing.T) {
	remove(t, reports)
	put(t, reports, nil)
	one := newReplica("one")
	one.config.Repeat = 20 * time.Millisecond
	run(t, one.Run)
	one.Changed()
	eventually(t, "the first report", func() bool { return one.Ready() == nil })
	before, _ := written(t)
	for range 20 {
		one.Changed()
		time.Sleep(10 * time.Millisecond)
	}
	if after, _ := written(t); after.ResourceVersion != before.ResourceVersion {
		t.Errorf("got resource version %s, want %s: nothing changed", after.ResourceVersion, before.ResourceVersion)
	}
}
