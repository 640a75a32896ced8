//go:build integration

package operator

import (
	"context"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// replica is a Pod of a policy server, and the process in it.
type replica struct {
	cluster *cluster
	server  string
	name    string
	// client has the rights of the policy server's ServiceAccount.
	client client.Client
	// tag is the digest of the module that every tag stands for when the process resolves it.
	tag string
	// served and refused are what the process holds of each policy.
	served  map[string]contract.Entry
	refused map[string]contract.Failure
}

const moduleDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// startReplica makes a Pod from the template of a policy server's Deployment, as a
// ReplicaSet would. It is not ready.
func (c *cluster) startReplica(t *testing.T, server, name string) *replica {
	t.Helper()
	deployment := &appsv1.Deployment{}
	within(t, patience, func(ctx context.Context) error {
		return c.admin.Get(ctx, key(contract.ConfigMapName(server)), deployment)
	})
	pod := &corev1.Pod{ObjectMeta: deployment.Spec.Template.ObjectMeta, Spec: deployment.Spec.Template.Spec}
	pod.Namespace, pod.Name = namespace, name
	if err := c.admin.Create(t.Context(), pod); err != nil {
		t.Fatalf("create Pod %s: %v", name, err)
	}
	own, err := c.client(c.as(deployment.Spec.Template.Spec.ServiceAccountName))
	if err != nil {
		t.Fatal(err)
	}
	return &replica{
		cluster: c, server: server, name: name, client: own, tag: moduleDigest,
		served: map[string]contract.Entry{}, refused: map[string]contract.Failure{},
	}
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
	r.refused = map[string]contract.Failure{}
	for id := range r.served {
		if _, ok := wanted[id]; !ok {
			delete(r.served, id)
		}
	}
	for id, entry := range wanted {
		if refusal, ok := refusalOf(refusals, id); ok {
			hash, err := contract.EntryHash(entry)
			if err != nil {
				t.Fatal(err)
			}
			r.refused[id] = contract.NewFailure(hash, refusal.reason, refusal.message)
			continue
		}
		r.served[id] = r.resolved(entry, r.served[id])
	}
	r.report(t, wanted)
}

// resolved is an entry with the digests of the modules that the process serves it with: what
// is pinned, what it serves already, or else what the tag stands for.
func (r *replica) resolved(entry, before contract.Entry) contract.Entry {
	entry = render.CarryPins(entry, before)
	tag := map[string]string{"": r.tag}
	for name := range entry.Policies {
		tag[name] = r.tag
	}
	return render.Pin(entry, tag)
}

type refusal struct {
	id      string
	reason  contract.Reason
	message string
}

func refusalOf(refusals []refusal, id string) (refusal, bool) {
	for _, refusal := range refusals {
		if refusal.id == id {
			return refusal, true
		}
	}
	return refusal{}, false
}

// configured reads policies.yml with the replica's own rights.
func (r *replica) configured(t *testing.T) contract.Policies {
	t.Helper()
	configMap := &corev1.ConfigMap{}
	within(t, patience, func(ctx context.Context) error {
		return r.client.Get(ctx, key(contract.ConfigMapName(r.server)), configMap)
	})
	policies, refused, err := contract.DecodePolicies([]byte(configMap.Data[contract.KeyPolicies]))
	if err != nil || len(refused) > 0 {
		t.Fatalf("decode policies.yml: %v %v", err, refused)
	}
	return policies
}

// report writes the replica's key of the report ConfigMap, with its own rights.
func (r *replica) report(t *testing.T, wanted contract.Policies) {
	t.Helper()
	revision, err := contract.ConfigRevision(wanted)
	if err != nil {
		t.Fatal(err)
	}
	report := contract.Report{
		Contract: contract.Version, Version: "0.0.0-test", StartTime: time.Now().UTC().Format(time.RFC3339Nano),
		ConfigRevision: revision, Policies: map[string]contract.Served{}, Failures: r.refused, Digests: map[string]string{},
	}
	for id, entry := range r.served {
		revision, err := contract.Revision(entry, entry.PinnedDigest())
		if err != nil {
			t.Fatal(err)
		}
		report.Policies[id] = contract.Served{
			Revision: revision, ModuleDigest: contract.ShortDigest(entry.PinnedDigest()), Owner: contract.OwnerHash(entry.UID),
		}
		if wanted[id].ModuleDigest != entry.ModuleDigest {
			report.Digests[id] = entry.ModuleDigest
		}
		for name, member := range entry.Policies {
			if wanted[id].Policies[name].ModuleDigest != member.ModuleDigest {
				report.Digests[contract.MemberID(id, name)] = member.ModuleDigest
			}
		}
	}
	payload, _, err := contract.EncodeReport(report, 0)
	if err != nil {
		t.Fatal(err)
	}
	applied := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"namespace": namespace, "name": contract.ReportConfigMapName(r.server)},
		"data":     map[string]any{r.name: string(payload)},
	}}
	within(t, patience, func(ctx context.Context) error {
		return r.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(applied.DeepCopy()),
			client.FieldOwner(r.name), client.ForceOwnership)
	})
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
