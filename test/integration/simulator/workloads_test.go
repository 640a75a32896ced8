//go:build integration

package simulator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

const (
	server   = "simulated"
	policyID = "kw.cap.simulated"
)

// The life of one server: its replicas come, load, are replaced, are cut off, and go.
func TestWorkloads(t *testing.T) {
	c, workloads := start(t)
	owner := &policiesv1.PolicyServer{}
	owner.Name = server
	policy := newPolicy()
	if err := errors.Join(c.Admin.Create(t.Context(), owner), c.Admin.Create(t.Context(), policy)); err != nil {
		t.Fatal(err)
	}
	within(t, func(context.Context) error { return serve(workloads, 2, `{"label":"a"}`) })

	t.Run("replicas follow the configuration", func(t *testing.T) {
		set(t, c, policy, "b")
		within(t, func(context.Context) error { return serve(workloads, 2, `{"label":"b"}`) })
		for _, who := range append(pods(workloads), server) {
			if _, ever := workloads.FirstServed(who, string(policy.UID)); !ever {
				t.Errorf("%s has never served the policy", who)
			}
		}
	})

	t.Run("one that is cut off does not", func(t *testing.T) {
		cut := workloads.Replicas(server)[0].Pod
		workloads.Cut(cut, true)
		set(t, c, policy, "c")
		within(t, func(context.Context) error { return serve(workloads, 1, `{"label":"c"}`) })
		workloads.Cut(cut, false)
		within(t, func(context.Context) error { return serve(workloads, 2, `{"label":"c"}`) })
	})

	t.Run("what is refused leaves what serves", func(t *testing.T) {
		set(t, c, policy, BrokenSettings)
		within(t, func(context.Context) error {
			if err := refuse(workloads); err != nil {
				return err
			}
			return serve(workloads, 2, `{"label":"c"}`)
		})
	})

	t.Run("a new process falls back on what was", func(t *testing.T) {
		restarted := workloads.Replicas(server)[1].Pod
		workloads.Restart(restarted)
		within(t, func(context.Context) error {
			replica := workloads.Replicas(server)[1]
			if replica.FellBack[policyID] == "" || !replica.Ready {
				return fmt.Errorf("%s falls back on %v, ready %t", replica.Pod, replica.FellBack, replica.Ready)
			}
			return serve(workloads, 2, `{"label":"c"}`)
		})
	})

	t.Run("a changed template replaces all Pods", func(t *testing.T) {
		before := pods(workloads)
		change(t, c, owner, func(s *policiesv1.PolicyServer) { s.Spec.Annotations = map[string]string{"changed": "yes"} })
		within(t, func(context.Context) error {
			now := pods(workloads)
			if len(now) != 2 || slices.ContainsFunc(now, func(pod string) bool { return slices.Contains(before, pod) }) {
				return fmt.Errorf("the Pods are %v, and were %v", now, before)
			}
			return nil
		})
	})

	t.Run("what has no owner is collected", func(t *testing.T) {
		if err := errors.Join(c.Admin.Delete(t.Context(), policy), c.Admin.Delete(t.Context(), owner)); err != nil {
			t.Fatal(err)
		}
		within(t, func(ctx context.Context) error { return nothingLeft(ctx, c, workloads) })
	})
}

// refuse says which replica does not refuse the settings of the policy, if any.
func refuse(workloads *Workloads) error {
	for _, replica := range workloads.Replicas(server) {
		if replica.Refused[policyID].Reason != contract.ReasonInvalidSettings {
			return fmt.Errorf("%s refuses %v", replica.Pod, replica.Refused)
		}
	}
	return nil
}

// start starts a cluster with an operator in which Pods run.
func start(t *testing.T) (*Cluster, *Workloads) {
	t.Helper()
	c, err := NewCluster("../../..")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := errors.Join(c.StartOperator(), c.CreateKubewarden()); err != nil {
		t.Fatal(err)
	}
	workloads := NewWorkloads(c)
	workloads.Start()
	t.Cleanup(func() {
		if err := workloads.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c, workloads
}

func newPolicy() *policiesv1.ClusterAdmissionPolicy {
	policy := &policiesv1.ClusterAdmissionPolicy{}
	policy.Name = server
	policy.Spec.PolicyServer = server
	policy.Spec.Module = "registry://example.test/labels:v1"
	policy.Spec.Settings = runtime.RawExtension{Raw: []byte(`{"label":"a"}`)}
	policy.Spec.Rules = []policiesv1.Rule{{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
		APIGroups:  []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"},
	}}
	return policy
}

// serve complains unless so many ready replicas say that they serve these settings.
func serve(workloads *Workloads, count int, settings string) error {
	got := map[string]string{}
	serving := 0
	for _, replica := range workloads.Replicas(server) {
		got[replica.Pod] = string(replica.Served[policyID].Settings)
		if replica.Ready && got[replica.Pod] == settings {
			serving++
		}
	}
	if serving != count {
		return fmt.Errorf("replicas serve %v, want %d to serve %s", got, count, settings)
	}
	return nil
}

func pods(workloads *Workloads) []string {
	names := map[string]bool{}
	for _, replica := range workloads.Replicas(server) {
		names[replica.Pod] = true
	}
	return slices.Sorted(maps.Keys(names))
}

func set(t *testing.T, c *Cluster, policy *policiesv1.ClusterAdmissionPolicy, label string) {
	t.Helper()
	change(t, c, policy, func(p *policiesv1.ClusterAdmissionPolicy) {
		p.Spec.Settings = runtime.RawExtension{Raw: []byte(fmt.Sprintf(`{"label":%q}`, label))}
	})
}

func change[T client.Object](t *testing.T, c *Cluster, object T, edit func(T)) {
	t.Helper()
	within(t, func(ctx context.Context) error {
		if err := c.Admin.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			return err
		}
		edit(object)
		return c.Admin.Update(ctx, object)
	})
}

func nothingLeft(ctx context.Context, c *Cluster, workloads *Workloads) error {
	for _, list := range []client.ObjectList{
		&corev1.PodList{}, &appsv1.ReplicaSetList{}, &appsv1.DeploymentList{}, &corev1.ServiceList{}, &corev1.ConfigMapList{},
	} {
		if err := c.Admin.List(ctx, list, client.MatchingLabels{"kubewarden/policy-server": server}); err != nil {
			return err
		}
		objects, err := runtime.DefaultUnstructuredConverter.ToUnstructured(list)
		if err != nil {
			return err
		}
		if items, ok := objects["items"].([]any); ok && len(items) > 0 {
			return fmt.Errorf("%T still has %d items", list, len(items))
		}
	}
	if left := workloads.Replicas(server); len(left) > 0 {
		return fmt.Errorf("%d processes are left", len(left))
	}
	return nil
}

func within(t *testing.T, check func(ctx context.Context) error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		last = check(ctx)
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("not within 30 s: %v", last)
	}
}
