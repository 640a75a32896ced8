//go:build integration

package operator

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// fallsBack complains until what a replica falls back on for a policy has these settings;
// "" stands for nothing to fall back on.
func (c *cluster) fallsBack(server, id, want string) func(context.Context) error {
	return func(ctx context.Context) error {
		configMap := &corev1.ConfigMap{}
		if err := c.admin.Get(ctx, key(contract.ConfigMapName(server)), configMap); err != nil {
			return err
		}
		good, refused, err := contract.DecodeLastGood([]byte(configMap.Data[contract.KeyLastGood]))
		if err != nil {
			return err
		}
		if len(refused) > 0 {
			return fmt.Errorf("%s has entries that cannot be read: %v", contract.KeyLastGood, refused)
		}
		if got := string(good[id].Settings); got != want {
			return fmt.Errorf("the last good revision of %s has the settings %q, want %q", id, got, want)
		}
		return nil
	}
}

func TestTheLastGoodRevisionIsKeptForReplicasToCome(t *testing.T) {
	const name, id = "lastgood", "kw.cap.lastgood"
	policy, replicas := shared.activate(t, name)
	before := replicas[0].Served[id]
	within(t, patience, shared.fallsBack(name, id, ""))

	// A change that every replica refuses, and that takes all of them along.
	broken := refusal{id, contract.ReasonInvalidSettings, "settings are not as they must be"}
	change(t, shared, policy, func(p *policiesv1.ClusterAdmissionPolicy) { p.Spec.Settings = settings("broken") })
	within(t, patience, shared.configures(policy))
	// It is there from the moment when the change is.
	if err := shared.fallsBack(name, id, string(before.Settings))(t.Context()); err != nil {
		t.Error(err)
	}
	for _, replica := range replicas {
		replica.load(t, broken)
		replica.stop(t)
	}
	within(t, patience, shared.policyIs(policy, policiesv1.PolicyStateActive,
		expected{policiesv1.ConditionReady, metav1.ConditionFalse, "PolicyServerNotReady"}))
	within(t, patience, shared.fallsBack(name, id, string(before.Settings)))

	// A new one falls back on it, and says both.
	fresh := shared.startReplica(t, name, "policy-server-lastgood-9")
	fresh.Served[id] = before
	fresh.load(t, broken)
	fresh.setReady(t, corev1.ConditionTrue)
	within(t, patience, shared.policyIs(policy, policiesv1.PolicyStateActive,
		expected{policiesv1.ConditionReady, metav1.ConditionFalse, "InvalidSettings"}))
	within(t, patience, func(ctx context.Context) error {
		if err := shared.admin.Get(ctx, key(policy.Name), policy); err != nil {
			return err
		}
		for _, condition := range policy.Status.Conditions {
			if condition.Type == policiesv1.ConditionReady && strings.Contains(condition.Message, "1 of 1 ready replicas still serve the older revision") {
				return nil
			}
		}
		return fmt.Errorf("the status does not say that an older revision serves: %+v", policy.Status.Conditions)
	})

	// Mended, and nothing is to fall back on any more.
	change(t, shared, policy, func(p *policiesv1.ClusterAdmissionPolicy) { p.Spec.Settings = settings("mended") })
	within(t, patience, shared.configures(policy))
	within(t, patience, shared.fallsBack(name, id, string(before.Settings)))
	fresh.load(t)
	within(t, patience, shared.fallsBack(name, id, ""))

	// Broken, deleted and made again: the new policy inherits nothing of the old.
	change(t, shared, policy, func(p *policiesv1.ClusterAdmissionPolicy) { p.Spec.Settings = settings("broken") })
	within(t, patience, shared.configures(policy))
	fresh.load(t, broken)
	if err := shared.fallsBack(name, id, "")(t.Context()); err == nil {
		t.Error("there is nothing to fall back on after a second broken change")
	}
	if err := shared.admin.Delete(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	within(t, patience, func(ctx context.Context) error { return shared.mustNotExist(ctx, policy) })
	again := shared.createPolicy(t, name, name)
	within(t, patience, shared.configures(again))
	within(t, patience, shared.fallsBack(name, id, ""))
	// What the replica still serves is of the policy that is gone, and gives the new one no webhook.
	throughout(t, time.Second, func(ctx context.Context) error { return shared.mustNotExist(ctx, validatingWebhook(name)) })
	if got := fresh.configured(t)[id].UID; got != string(again.UID) {
		t.Errorf("policies.yml names the UID %s, want that of the new policy, %s", got, again.UID)
	}
}
