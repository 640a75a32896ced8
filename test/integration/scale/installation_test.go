//go:build integration

package scale

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/test/integration/simulator"
)

const (
	// patience is for five hundred policies on a machine that has other things to do.
	patience = 5 * time.Minute
	// calm is how long nothing must happen for a phase to be over.
	calm = 1500 * time.Millisecond
	// tenant is where policies of a namespace are.
	tenant = "default"
)

// size is how many policies there are, evenly on how many servers.
type size struct{ policies, servers int }

func (s size) String() string { return fmt.Sprintf("%dx%d", s.policies, s.servers) }

// installation is a cluster with an operator under count.
type installation struct {
	*simulator.Cluster
	size      size
	counter   *counter
	workloads *simulator.Workloads
	policies  []policiesv1.Policy
}

// install makes a cluster with the servers and their replicas, but without policies.
func install(t *testing.T, size size) *installation {
	t.Helper()
	cluster, err := simulator.NewCluster("../../..")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	in := &installation{Cluster: cluster, size: size, counter: &counter{calls: map[string]int{}}}
	in.Alone, in.Wrap = true, in.counter.wrap
	in.workloads = simulator.NewWorkloads(cluster)
	in.workloads.Start()
	if err := errors.Join(in.StartOperator(), in.CreateKubewarden()); err != nil {
		t.Fatal(err)
	}
	for i := range size.servers {
		server := &policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: serverName(i)}}
		if err := in.Admin.Create(t.Context(), server); err != nil {
			t.Fatal(err)
		}
	}
	within(t, func(ctx context.Context) error {
		var servers policiesv1.PolicyServerList
		if err := in.Admin.List(ctx, &servers); err != nil {
			return err
		}
		for i := range servers.Items {
			if !isReady(servers.Items[i].Status.Conditions, servers.Items[i].Generation) {
				return fmt.Errorf("PolicyServer %s is not ready: %+v", servers.Items[i].Name, servers.Items[i].Status)
			}
		}
		return nil
	})
	in.rests(t, calm)
	return in
}

func serverName(i int) string { return fmt.Sprintf("server-%d", i) }

// fill creates the policies, four of a cluster to one of a namespace, and waits until all are
// enforced.
func (in *installation) fill(t *testing.T) {
	t.Helper()
	for i := range in.size.policies {
		var policy policiesv1.Policy
		spec := policiesv1.PolicySpec{Module: "registry://example.test/labels:v1"}
		spec.Settings.Raw = []byte(`{"labels":["a"]}`)
		spec.PolicyServer = serverName(i % in.size.servers)
		spec.Rules = []policiesv1.Rule{{
			Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
			APIGroups:  []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"},
		}}
		meta := metav1.ObjectMeta{Name: fmt.Sprintf("policy-%d", i)}
		if i%5 == 4 {
			meta.Namespace = tenant
			policy = &policiesv1.AdmissionPolicy{ObjectMeta: meta, Spec: policiesv1.AdmissionPolicySpec{PolicySpec: spec}}
		} else {
			policy = &policiesv1.ClusterAdmissionPolicy{ObjectMeta: meta, Spec: policiesv1.ClusterAdmissionPolicySpec{PolicySpec: spec}}
		}
		if err := in.Admin.Create(t.Context(), policy); err != nil {
			t.Fatal(err)
		}
		in.policies = append(in.policies, policy)
	}
	within(t, func(ctx context.Context) error {
		for _, policy := range in.policies {
			if err := in.isEnforced(ctx, policy); err != nil {
				return err
			}
		}
		return nil
	})
}

func (in *installation) isEnforced(ctx context.Context, policy policiesv1.Policy) error {
	if isReady(policy.GetStatus().Conditions, policy.GetGeneration()) {
		return nil // as it was read the last time
	}
	if err := in.Admin.Get(ctx, client.ObjectKeyFromObject(policy), policy); err != nil {
		return err
	}
	if !isReady(policy.GetStatus().Conditions, policy.GetGeneration()) {
		return fmt.Errorf("policy %s is not enforced: %+v", policy.GetName(), policy.GetStatus())
	}
	return nil
}

func isReady(conditions []metav1.Condition, generation int64) bool {
	ready := apimeta.FindStatusCondition(conditions, policiesv1.ConditionReady)
	return ready != nil && ready.Status == metav1.ConditionTrue && ready.ObservedGeneration == generation
}

// change changes the settings of some policies, of all servers in turn, one after the other,
// each once the one before is enforced.
func (in *installation) change(t *testing.T, count int) {
	t.Helper()
	for _, policy := range in.policies[:count] {
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"settings":{"labels":["b"]}}}`))
		if err := in.Admin.Patch(t.Context(), policy, patch); err != nil {
			t.Fatal(err)
		}
		within(t, func(ctx context.Context) error { return in.isEnforced(ctx, policy) })
	}
}

// empty deletes the policies, and waits until none is left.
func (in *installation) empty(t *testing.T) {
	t.Helper()
	for _, policy := range in.policies {
		if err := in.Admin.Delete(t.Context(), policy); err != nil {
			t.Fatal(err)
		}
	}
	within(t, func(ctx context.Context) error {
		for _, list := range []client.ObjectList{&policiesv1.ClusterAdmissionPolicyList{}, &policiesv1.AdmissionPolicyList{}} {
			if err := in.Admin.List(ctx, list); err != nil {
				return err
			}
			if left := apimeta.LenList(list); left > 0 {
				return fmt.Errorf("%d of %T are left", left, list)
			}
		}
		return nil
	})
}

// knowsAll waits until an operator that was started anew has looked at every policy: on a slow
// machine it does nothing for longer than it is calm, until its caches are filled.
func (in *installation) knowsAll(t *testing.T, before counts) {
	t.Helper()
	within(t, func(context.Context) error {
		now, err := in.counter.now()
		if err != nil {
			return err
		}
		if looks := now.since(before).policyReconciles(); looks < in.size.policies {
			return fmt.Errorf("there were %d reconciles of %d policies", looks, in.size.policies)
		}
		return nil
	})
}

// rests waits until the operator has neither reconciled nor written anything for a while, and
// returns what it did until then.
func (in *installation) rests(t *testing.T, calm time.Duration) counts {
	t.Helper()
	var last counts
	since := time.Now()
	within(t, func(context.Context) error {
		now, err := in.counter.now()
		if err != nil {
			return err
		}
		// Watches begin anew by themselves.
		if busy := now.since(last); busy.reconciles() > 0 || busy.writes() > 0 {
			last, since = now, time.Now()
		}
		if time.Since(since) < calm {
			return errors.New("the operator is still busy")
		}
		return nil
	})
	return last
}

// memory is what the operator holds: what is free once it is gone. The cluster has no
// operator after that.
func (in *installation) memory(t *testing.T) int64 {
	t.Helper()
	in.workloads.Pause(true)
	defer in.workloads.Pause(false)
	with := heap()
	if err := in.StopOperator(); err != nil {
		t.Fatal(err)
	}
	in.Registry = nil
	return with - heap()
}

// within waits until a check finds nothing to complain about.
func within(t *testing.T, check func(context.Context) error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		last = check(ctx)
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("not within %s: %v", patience, last)
	}
}
