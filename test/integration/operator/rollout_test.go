//go:build integration

package operator

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/test/integration/simulator"
)

const (
	upstreamServer = "upstream"
	upstreamImage  = "registry.example.test/policy-server:v1"
)

var rolledOut = append(slices.Clone(enforced[:3]), expected{policiesv1.ConditionReady, metav1.ConditionTrue, "ReportedByRollout"})

// rolling is a server whose image follows upstream's contract, with two policies.
type rolling struct {
	*cluster
	workloads     *simulator.Workloads
	server        *policiesv1.PolicyServer
	policy, other *policiesv1.ClusterAdmissionPolicy
}

// The life of a server that reads its policies when it starts, and tells nobody.
func TestAServerOfUpstreamsContract(t *testing.T) {
	c := ownCluster(t, (*cluster).StartOperator, (*cluster).CreateKubewarden)
	workloads := simulator.NewWorkloads(c.Cluster)
	workloads.Start()
	t.Cleanup(func() {
		if err := workloads.Stop(); err != nil {
			t.Error(err)
		}
	})
	server := &policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: upstreamServer}}
	server.Spec.Image = upstreamImage
	c.create(t, server)
	r := rolling{
		cluster: c, workloads: workloads, server: server,
		policy: c.createPolicy(t, "rolled", upstreamServer), other: c.createPolicy(t, "other", upstreamServer),
	}
	t.Run("policies are active when Pods were started with them", r.becomesActive)
	t.Run("nothing is written at rest", r.rests)
	t.Run("a change that no Pod can load waits, and the others go on", r.waitForWhatLoads)
	t.Run("one that Pods can load replaces them all, then the webhook changes", r.rollOut)
	t.Run("a renewed certificate replaces them too", r.renew)
	t.Run("a policy that no Pod can load has no webhook", r.neverServe)
	t.Run("the operator's own image takes over, and reports", r.changeContract)
	t.Run("and it goes with all it had", r.leave)
}

func (r rolling) becomesActive(t *testing.T) {
	t.Helper()
	within(t, patience, r.policyIs(r.policy, policiesv1.PolicyStateActive, rolledOut...))
	within(t, patience, r.policyIs(r.other, policiesv1.PolicyStateActive, rolledOut...))
	within(t, patience, r.serverIs(r.server, expected{policiesv1.ConditionReady, metav1.ConditionTrue, "Serving"}))
	for _, object := range []client.Object{
		named(&rbacv1.Role{}, "policy-server-upstream"), named(&rbacv1.RoleBinding{}, "policy-server-upstream"),
		named(&corev1.ConfigMap{}, contract.ReportConfigMapName(upstreamServer)),
	} {
		if err := r.mustNotExist(t.Context(), object); err != nil {
			t.Error(err)
		}
	}
}

func (r rolling) rests(t *testing.T) {
	t.Helper()
	before := map[string]string{}
	within(t, patience, func(ctx context.Context) error {
		earlier := before
		var err error
		if before, err = r.resourceVersions(ctx); err != nil {
			return err
		}
		if diff := cmp.Diff(earlier, before); diff != "" {
			return fmt.Errorf("the cluster is not at rest:\n%s", diff)
		}
		return nil
	})
	throughout(t, 2*time.Second, func(ctx context.Context) error {
		now, err := r.resourceVersions(ctx)
		if diff := cmp.Diff(before, now); err == nil && diff != "" {
			err = fmt.Errorf("something was written:\n%s", diff)
		}
		return err
	})
}

func (r rolling) waitForWhatLoads(t *testing.T) {
	t.Helper()
	change(t, r.cluster, r.policy, func(p *policiesv1.ClusterAdmissionPolicy) {
		p.Spec.Settings = runtime.RawExtension{Raw: []byte(`{"label":"` + simulator.BrokenSettings + `"}`)}
		p.Spec.Rules = []policiesv1.Rule{podRule(admissionregistrationv1.Create, admissionregistrationv1.Update, admissionregistrationv1.Delete)}
	})
	within(t, patience, r.policyIs(r.policy, policiesv1.PolicyStateActive, expected{policiesv1.ConditionReady, metav1.ConditionFalse, "Loading"}))
	within(t, patience, r.serverIs(r.server, expected{policiesv1.ConditionReady, metav1.ConditionFalse, "WaitingForReplicas"}))
	// One comes before one goes, and none goes before it is ready.
	within(t, patience, func(context.Context) error { return started(r.workloads, 1, simulator.BrokenSettings) })
	throughout(t, 2*time.Second, func(ctx context.Context) error {
		if err := r.policyIs(r.other, policiesv1.PolicyStateActive, rolledOut...)(ctx); err != nil {
			return err
		}
		return r.guards(ctx, "rolled", 2)
	})
}

func (r rolling) rollOut(t *testing.T) {
	t.Helper()
	before := r.workloads.Replicas(upstreamServer)
	change(t, r.cluster, r.policy, func(p *policiesv1.ClusterAdmissionPolicy) { p.Spec.Settings = settings("b") })
	within(t, patience, func(ctx context.Context) error {
		if err := r.guards(ctx, "rolled", 3); err != nil {
			return err
		}
		// Whoever is called from now on has read what the rules are made for.
		return started(r.workloads, 2, `"b"`)
	})
	within(t, patience, r.policyIs(r.policy, policiesv1.PolicyStateActive, rolledOut...))
	within(t, patience, func(context.Context) error { return replaced(r.workloads, before) })
	within(t, patience, r.serverIs(r.server, expected{policiesv1.ConditionReady, metav1.ConditionTrue, "Serving"}))
}

func (r rolling) renew(t *testing.T) {
	t.Helper()
	before := r.workloads.Replicas(upstreamServer)
	if err := r.admin.Delete(t.Context(), named(&corev1.Secret{}, render.IssuedName(upstreamServer))); err != nil {
		t.Fatal(err)
	}
	within(t, 2*patience, func(context.Context) error { return replaced(r.workloads, before) })
	within(t, patience, r.policyIs(r.policy, policiesv1.PolicyStateActive, rolledOut...))
}

func (r rolling) neverServe(t *testing.T) {
	t.Helper()
	never := r.createPolicy(t, "never", upstreamServer)
	change(t, r.cluster, never, func(p *policiesv1.ClusterAdmissionPolicy) {
		p.Spec.Settings = runtime.RawExtension{Raw: []byte(`{"label":"` + simulator.BrokenSettings + `"}`)}
	})
	within(t, patience, func(context.Context) error { return started(r.workloads, 1, simulator.BrokenSettings) })
	throughout(t, 2*time.Second, func(ctx context.Context) error { return r.mustNotExist(ctx, validatingWebhook("never")) })
	if err := r.admin.Delete(t.Context(), never); err != nil {
		t.Fatal(err)
	}
	within(t, patience, r.serverIs(r.server, expected{policiesv1.ConditionReady, metav1.ConditionTrue, "Serving"}))
}

func (r rolling) changeContract(t *testing.T) {
	t.Helper()
	change(t, r.cluster, r.server, func(s *policiesv1.PolicyServer) { s.Spec.Image = "" })
	within(t, 2*patience, r.policyIs(r.policy, policiesv1.PolicyStateActive, enforced...))
	if err := r.guards(t.Context(), "rolled", 3); err != nil {
		t.Error(err)
	}
	change(t, r.cluster, r.server, func(s *policiesv1.PolicyServer) { s.Spec.Image = upstreamImage })
	within(t, 2*patience, r.policyIs(r.policy, policiesv1.PolicyStateActive, rolledOut...))
}

func (r rolling) leave(t *testing.T) {
	t.Helper()
	if err := r.admin.Delete(t.Context(), r.server); err != nil {
		t.Fatal(err)
	}
	within(t, patience, func(ctx context.Context) error {
		for _, object := range []client.Object{
			validatingWebhook("rolled"), r.server, named(&appsv1.Deployment{}, "policy-server-upstream"),
			named(&corev1.ConfigMap{}, "policy-server-upstream"),
		} {
			if err := r.mustNotExist(ctx, object); err != nil {
				return err
			}
		}
		return nil
	})
}

// guards complains unless the webhook of a policy is called for so many operations.
func (c *cluster) guards(ctx context.Context, policy string, operations int) error {
	webhook := validatingWebhook(policy)
	if err := c.mustExist(ctx, webhook); err != nil {
		return err
	}
	if got := webhook.Webhooks[0].Rules[0].Operations; len(got) != operations {
		return fmt.Errorf("the webhook is called for %v, want %d operations", got, operations)
	}
	return nil
}

// started complains unless so many processes, and no others, were started with settings of
// that text.
func started(workloads *simulator.Workloads, count int, text string) error {
	found := 0
	for _, process := range workloads.Replicas(upstreamServer) {
		if process.Terminating {
			continue
		}
		for _, entry := range process.Config {
			if slices.Contains([]string{`{"labels":[` + text + `]}`, `{"label":"` + text + `"}`}, string(entry.Settings)) {
				found++
			}
		}
	}
	if found != count {
		return fmt.Errorf("%d processes were started with %s, want %d", found, text, count)
	}
	return nil
}

// replaced complains while a process of before is there, or fewer than two are ready.
func replaced(workloads *simulator.Workloads, before []simulator.State) error {
	ready := 0
	for _, process := range workloads.Replicas(upstreamServer) {
		if slices.ContainsFunc(before, func(old simulator.State) bool { return old.Pod == process.Pod }) {
			return fmt.Errorf("%s of before is still there", process.Pod)
		}
		if process.Ready {
			ready++
		}
	}
	if ready != 2 {
		return fmt.Errorf("%d processes are ready, want 2", ready)
	}
	return nil
}
