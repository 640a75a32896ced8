//go:build integration

package operator

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

var recommendedNames = []string{
	"no-privilege-escalation", "no-host-namespace-sharing", "no-privileged-pod",
	"do-not-run-as-root", "do-not-share-host-paths", "drop-capabilities",
}

func recommendedPolicy(name string) *policiesv1.ClusterAdmissionPolicy {
	return &policiesv1.ClusterAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func recommend(t *testing.T, c *cluster, edit func(*operatorv1alpha1.RecommendedPolicies)) {
	t.Helper()
	change(t, c, theKubewarden(), func(k *operatorv1alpha1.Kubewarden) { edit(&k.Spec.RecommendedPolicies) })
}

func recommendedIs(status metav1.ConditionStatus, reason string) expected {
	return expected{operatorv1alpha1.ConditionRecommendedPoliciesApplied, status, reason}
}

// recommendedAre complains unless all recommended policies are there in a mode.
func recommendedAre(c *cluster, mode policiesv1.PolicyMode) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, name := range recommendedNames {
			policy := recommendedPolicy(name)
			if err := c.mustExist(ctx, policy); err != nil {
				return err
			}
			if policy.Spec.Mode != mode || !policy.DeletionTimestamp.IsZero() {
				return fmt.Errorf("policy %s is in mode %s (deleted: %v), want %s", name, policy.Spec.Mode, policy.DeletionTimestamp, mode)
			}
		}
		return nil
	}
}

func TestRecommendedPolicies(t *testing.T) {
	c := ownCluster(t, (*cluster).InstallCertManager, (*cluster).StartIssuer, (*cluster).StartOperator, (*cluster).CreateKubewarden)
	within(t, patience, c.kubewardenIs(recommendedIs(metav1.ConditionFalse, "Disabled")))

	t.Run("they come when they are wanted, and heal", func(t *testing.T) {
		recommend(t, c, func(wanted *operatorv1alpha1.RecommendedPolicies) { wanted.Enabled = true })
		within(t, patience, recommendedAre(c, policiesv1.PolicyModeMonitor))
		within(t, patience, c.kubewardenIs(recommendedIs(metav1.ConditionTrue, "Applied")))
		if err := c.admin.Delete(t.Context(), recommendedPolicy("drop-capabilities")); err != nil {
			t.Fatal(err)
		}
		change(t, c, recommendedPolicy("no-privileged-pod"), func(policy *policiesv1.ClusterAdmissionPolicy) {
			policy.Spec.Rules = []policiesv1.Rule{podRule(admissionregistrationv1.Delete)}
		})
		within(t, healing, recommendedAre(c, policiesv1.PolicyModeMonitor))
		within(t, healing, func(ctx context.Context) error {
			policy := recommendedPolicy("no-privileged-pod")
			if err := c.mustExist(ctx, policy); err != nil {
				return err
			}
			if got := len(policy.Spec.Rules); got != 4 {
				return fmt.Errorf("%d rules, want 4", got)
			}
			return nil
		})
	})
	t.Run("they are enforced, and go back to monitor as new ones", func(t *testing.T) { checkModes(t, c) })
	t.Run("they go when they are not wanted", func(t *testing.T) {
		recommend(t, c, func(wanted *operatorv1alpha1.RecommendedPolicies) { wanted.Enabled = false })
		within(t, patience, func(ctx context.Context) error { return noneRecommended(ctx, c) })
		within(t, patience, c.kubewardenIs(recommendedIs(metav1.ConditionFalse, "Disabled")))
	})
	t.Run("one of the user is left alone", func(t *testing.T) {
		users := c.createPolicy(t, "no-privileged-pod", "default")
		recommend(t, c, func(wanted *operatorv1alpha1.RecommendedPolicies) { wanted.Enabled = true })
		within(t, patience, c.kubewardenIs(recommendedIs(metav1.ConditionFalse, "ForeignPolicies")))
		module := users.Spec.Module
		if err := c.mustExist(t.Context(), users); err != nil {
			t.Fatal(err)
		}
		if users.Spec.Module != module || len(users.OwnerReferences) > 0 {
			t.Errorf("the user's policy is now %+v", users)
		}
		if err := c.admin.Delete(t.Context(), users); err != nil {
			t.Fatal(err)
		}
		within(t, healing, recommendedAre(c, policiesv1.PolicyModeMonitor))
	})
	t.Run("they go with the Kubewarden", func(t *testing.T) {
		if err := c.admin.Delete(t.Context(), theKubewarden()); err != nil {
			t.Fatal(err)
		}
		within(t, patience, func(ctx context.Context) error { return c.mustNotExist(ctx, theKubewarden()) })
		if err := noneRecommended(t.Context(), c); err != nil {
			t.Error(err)
		}
	})
}

func checkModes(t *testing.T, c *cluster) {
	t.Helper()
	uids := func() map[string]types.UID {
		uids := map[string]types.UID{}
		for _, name := range recommendedNames {
			policy := recommendedPolicy(name)
			if err := c.mustExist(t.Context(), policy); err != nil {
				t.Fatal(err)
			}
			uids[name] = policy.UID
		}
		return uids
	}
	setMode := func(mode policiesv1.PolicyMode) {
		recommend(t, c, func(wanted *operatorv1alpha1.RecommendedPolicies) { wanted.Mode = mode })
		within(t, patience, recommendedAre(c, mode))
		within(t, patience, c.kubewardenIs(recommendedIs(metav1.ConditionTrue, "Applied")))
	}
	before := uids()
	setMode(policiesv1.PolicyModeProtect)
	if diff := cmp.Diff(before, uids()); diff != "" {
		t.Errorf("policies were made anew for a stricter mode (-before +after):\n%s", diff)
	}
	c.startReplicas(t, "default", 1)
	setMode(policiesv1.PolicyModeMonitor)
	for name, uid := range uids() {
		if uid == before[name] {
			t.Errorf("policy %s went from protect to monitor", name)
		}
	}
}

func noneRecommended(ctx context.Context, c *cluster) error {
	for _, name := range recommendedNames {
		if err := c.mustNotExist(ctx, recommendedPolicy(name)); err != nil {
			return err
		}
	}
	return nil
}
