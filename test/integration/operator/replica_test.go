//go:build integration

package operator

import (
	"context"
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/test/integration/simulator"
)

// replica is a Pod of a policy server, and the process in it, which does what a test says.
type replica struct {
	*simulator.Replica
	cluster *cluster
	name    string
}

const moduleDigest = simulator.ModuleDigest

// startReplica makes a Pod from the template of a policy server's Deployment, as a
// ReplicaSet would, once what it mounts is there, as a kubelet waits for that. It is not ready.
func (c *cluster) startReplica(t *testing.T, server, name string) *replica {
	t.Helper()
	deployment := &appsv1.Deployment{}
	within(t, patience, func(ctx context.Context) error {
		return c.admin.Get(ctx, key(contract.ConfigMapName(server)), deployment)
	})
	within(t, patience, func(ctx context.Context) error { return c.mountable(ctx, deployment.Spec.Template.Spec.Volumes) })
	pod := &corev1.Pod{ObjectMeta: deployment.Spec.Template.ObjectMeta, Spec: deployment.Spec.Template.Spec}
	pod.Namespace, pod.Name = namespace, name
	if err := c.admin.Create(t.Context(), pod); err != nil {
		t.Fatalf("create Pod %s: %v", name, err)
	}
	own, err := c.Client(c.As(deployment.Spec.Template.Spec.ServiceAccountName))
	if err != nil {
		t.Fatal(err)
	}
	return &replica{Replica: simulator.NewReplica(own, server, name), cluster: c, name: name}
}

// mountable complains of a Secret that a kubelet would wait for.
func (c *cluster) mountable(ctx context.Context, volumes []corev1.Volume) error {
	for _, volume := range volumes {
		if volume.Secret == nil || volume.Secret.Optional != nil && *volume.Secret.Optional {
			continue
		}
		if err := c.admin.Get(ctx, key(volume.Secret.SecretName), &corev1.Secret{}); err != nil {
			return err
		}
	}
	return nil
}

// startReplicas makes ready replicas that serve whatever is configured.
func (c *cluster) startReplicas(t *testing.T, server string, count int) []*replica {
	t.Helper()
	replicas := make([]*replica, 0, count)
	for i := range count {
		r := c.startReplica(t, server, fmt.Sprintf("policy-server-%s-%d", server, i))
		r.load(t)
		r.setReady(t, corev1.ConditionTrue)
		replicas = append(replicas, r)
	}
	return replicas
}

func (r *replica) setReady(t *testing.T, status corev1.ConditionStatus) {
	t.Helper()
	pod := &corev1.Pod{}
	if err := r.cluster.admin.Get(t.Context(), key(r.name), pod); err != nil {
		t.Fatal(err)
	}
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: status}}
	if err := r.cluster.admin.Status().Update(t.Context(), pod); err != nil {
		t.Fatalf("set Pod %s ready: %v", r.name, err)
	}
}

// load does what a policy server does on a change of its ConfigMap: it takes over every
// entry, except those it is told to refuse, and reports.
func (r *replica) load(t *testing.T, refusals ...refusal) {
	t.Helper()
	wanted := r.configured(t)
	err := r.Take(wanted, func(id string, _ contract.Entry) *simulator.Refusal {
		for _, refusal := range refusals {
			if refusal.id == id {
				return &simulator.Refusal{Reason: refusal.reason, Message: refusal.message}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	within(t, patience, func(ctx context.Context) error { return r.Report(ctx, wanted) })
}

type refusal struct {
	id      string
	reason  contract.Reason
	message string
}

// configured reads policies.yml with the replica's own rights.
func (r *replica) configured(t *testing.T) contract.Policies {
	t.Helper()
	var configuration simulator.Configuration
	within(t, patience, func(ctx context.Context) error {
		var err error
		configuration, err = r.Read(ctx)
		return err
	})
	return configuration.Policies
}

// stop deletes the Pod at once.
func (r *replica) stop(t *testing.T) {
	t.Helper()
	pod := &corev1.Pod{}
	pod.Namespace, pod.Name = namespace, r.name
	if err := r.cluster.admin.Delete(t.Context(), pod, client.GracePeriodSeconds(0)); err != nil {
		t.Fatalf("delete Pod %s: %v", r.name, err)
	}
}

func key(name string) client.ObjectKey { return client.ObjectKey{Namespace: namespace, Name: name} }
