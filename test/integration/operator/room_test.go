//go:build integration

package operator

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

func padded(bytes int) runtime.RawExtension {
	return runtime.RawExtension{Raw: []byte(fmt.Sprintf(`{"labels":[%q]}`, strings.Repeat("x", bytes)))}
}

func TestPoliciesWithoutRoomAreRefusedAlone(t *testing.T) {
	const large = 119 << 10 // six have room
	server := shared.createServer(t, "full")
	const withRoom = 6
	tenants := make([]*policiesv1.AdmissionPolicy, 0, withRoom)
	for i := range withRoom {
		policy := namespacedPolicy(fmt.Sprintf("full-%d", i), "full")
		policy.Spec.Settings = padded(large)
		shared.create(t, policy)
		tenants = append(tenants, policy)
		within(t, patience, shared.configures(policy))
	}
	time.Sleep(time.Second) // creation times have whole seconds, and the last must be newest
	newest := namespacedPolicy("full-newest", "full")
	newest.Spec.Settings = padded(large)
	shared.create(t, newest)
	replicas := shared.startReplicas(t, "full", 2)
	within(t, patience, shared.policyIs(newest, policiesv1.PolicyStatePending,
		expected{policiesv1.ConditionReady, metav1.ConditionFalse, policiesv1.ReasonPolicyServerFull},
		expected{policiesv1.ConditionPolicyActive, metav1.ConditionFalse, ""}))
	within(t, patience, shared.policyIs(tenants[0], policiesv1.PolicyStateActive, enforced...))

	// A cluster-wide policy is never refused while a namespaced one has room.
	clusterWide := shared.createPolicy(t, "full", "full")
	change(t, shared, clusterWide, func(p *policiesv1.ClusterAdmissionPolicy) { p.Spec.Settings = padded(large) })
	within(t, patience, shared.configures(clusterWide))
	for _, replica := range replicas {
		replica.load(t)
	}
	within(t, patience, shared.policyIs(clusterWide, policiesv1.PolicyStateActive, enforced...))
	within(t, patience, func(ctx context.Context) error {
		if err := shared.serverIs(server,
			expected{policiesv1.ConditionReady, metav1.ConditionTrue, policiesv1.ReasonPoliciesFailed},
			expected{policiesv1.ConditionConfigMapReconciled, metav1.ConditionTrue, ""})(ctx); err != nil {
			return err
		}
		message := apimeta.FindStatusCondition(server.Status.Conditions, policiesv1.ConditionReady).Message
		if !strings.Contains(message, "no room for 2") || !strings.Contains(message, "kw.ap.default.full-newest") {
			return fmt.Errorf("Ready says %q, want the number and the names of those without room in it", message)
		}
		return nil
	})

	// An edit that is too large for any server leaves what is enforced.
	change(t, shared, clusterWide, func(p *policiesv1.ClusterAdmissionPolicy) { p.Spec.Settings = padded(140 << 10) })
	within(t, patience, shared.policyIs(clusterWide, policiesv1.PolicyStateActive,
		expected{policiesv1.ConditionReady, metav1.ConditionFalse, policiesv1.ReasonPolicyTooLarge}))
	if got := len(replicas[0].configured(t)["kw.cap.full"].Settings); got < large || got > large+100 {
		t.Errorf("policies.yml holds settings of %d bytes, want those of before the edit", got)
	}

	// Room that is given back is used.
	change(t, shared, clusterWide, func(p *policiesv1.ClusterAdmissionPolicy) { p.Spec.Settings = settings("a") })
	within(t, patience, shared.configures(clusterWide))
	within(t, patience, shared.configures(tenants[5]))
}
