//go:build integration

package operator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// configures complains until policies.yml holds the policy as its spec says.
func (c *cluster) configures(policy policiesv1.Policy) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := c.admin.Get(ctx, client.ObjectKeyFromObject(policy), policy); err != nil {
			return err
		}
		server := &policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: policy.GetPolicyServer()}}
		if err := c.mustExist(ctx, server); err != nil {
			return err
		}
		id, entry, err := render.Entry(policy, server)
		if err != nil {
			return err
		}
		configMap := named(&corev1.ConfigMap{}, contract.ConfigMapName(server.Name))
		if err := c.mustExist(ctx, configMap); err != nil {
			return err
		}
		policies, _, err := contract.DecodePolicies([]byte(configMap.Data[contract.KeyPolicies]))
		if err != nil {
			return err
		}
		want, err := contract.EntryHash(entry)
		if err != nil {
			return err
		}
		if got, err := contract.EntryHash(policies[id]); err != nil || got != want {
			return fmt.Errorf("policies.yml holds %s as %+v", id, policies[id])
		}
		return nil
	}
}

func TestPolicyLifecycle(t *testing.T) {
	policy := shared.createPolicy(t, "lifecycle", "lifecycle")
	webhook := validatingWebhook("lifecycle")
	noWebhook := func(ctx context.Context) error { return shared.mustNotExist(ctx, webhook) }

	within(t, patience, shared.policyIs(policy, policiesv1.PolicyStateScheduled,
		expected{policiesv1.ConditionReady, metav1.ConditionFalse, "PolicyServerNotFound"},
		expected{policiesv1.ConditionPolicyActive, metav1.ConditionFalse, "PolicyActive"}))
	if len(policy.Finalizers) > 0 {
		t.Errorf("a scheduled policy has finalizers %v, want none", policy.Finalizers)
	}

	shared.createServer(t, "lifecycle")
	within(t, patience, shared.policyIs(policy, policiesv1.PolicyStatePending,
		expected{policiesv1.ConditionReady, metav1.ConditionFalse, "PolicyServerNotReady"}))
	within(t, patience, shared.configures(policy))

	// Ready, but it has not reported yet.
	first := shared.startReplica(t, "lifecycle", "policy-server-lifecycle-0")
	first.setReady(t, corev1.ConditionTrue)
	within(t, patience, shared.policyIs(policy, policiesv1.PolicyStatePending,
		expected{policiesv1.ConditionReady, metav1.ConditionFalse, "Loading"},
		expected{policiesv1.ConditionPolicyUniquelyReachable, metav1.ConditionFalse, "LatestReplicaSetIsNotUniquelyReachable"}))

	// One of two ready replicas serves it.
	second := shared.startReplica(t, "lifecycle", "policy-server-lifecycle-1")
	second.setReady(t, corev1.ConditionTrue)
	first.load(t)
	within(t, patience, func(ctx context.Context) error {
		if err := shared.policyIs(policy, policiesv1.PolicyStatePending)(ctx); err != nil {
			return err
		}
		want := &policiesv1.PolicyReplicas{Ready: 2, Enforcing: 1}
		if diff := cmp.Diff(want, policy.Status.Replicas); diff != "" {
			return fmt.Errorf("unexpected replicas:\n%s", diff)
		}
		return nil
	})
	throughout(t, time.Second, noWebhook)

	second.load(t)
	within(t, patience, shared.policyIs(policy, policiesv1.PolicyStateActive, enforced...))
	checkActivePolicy(t, policy, webhook)

	if err := shared.admin.Delete(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	within(t, patience, func(ctx context.Context) error {
		gone := shared.mustNotExist(ctx, policy)
		if gone == nil {
			// The policy went, so its webhook must have gone before.
			if err := noWebhook(ctx); err != nil {
				t.Fatal(err)
			}
		}
		return gone
	})
}

func checkActivePolicy(t *testing.T, policy *policiesv1.ClusterAdmissionPolicy, webhook *admissionregistrationv1.ValidatingWebhookConfiguration) {
	t.Helper()
	if err := shared.mustExist(t.Context(), webhook); err != nil {
		t.Fatal(err)
	}
	if got := webhook.Webhooks[0].ClientConfig; len(got.CABundle) == 0 || *got.Service.Path != "/validate/kw.cap.lifecycle" {
		t.Errorf("the webhook calls %v", got.Service)
	}
	if got, want := policy.Finalizers, []string{policiesv1.Finalizer}; !cmp.Equal(got, want) {
		t.Errorf("finalizers = %v, want %v", got, want)
	}
	if got := policy.Status.Mode; got != policiesv1.ObservedModeProtect {
		t.Errorf("status.mode = %q, want protect", got)
	}
	within(t, patience, func(ctx context.Context) error { // all digits, once the module is pinned
		if err := shared.mustExist(ctx, policy); err != nil {
			return err
		}
		if got := policy.Status.ModuleDigest; got != moduleDigest {
			return fmt.Errorf("status.moduleDigest = %q, want %q", got, moduleDigest)
		}
		return nil
	})
	ready := apimeta.FindStatusCondition(policy.Status.Conditions, policiesv1.ConditionReady)
	if want := "2 of 2 replicas enforce revision " + policy.Status.Served[0].Revision; ready.Message != want {
		t.Errorf("Ready says %q, want %q", ready.Message, want)
	}
	within(t, patience, func(context.Context) error {
		if got, want := shared.events(t, policy), []string{"Normal Enforced"}; !cmp.Equal(got, want) {
			return fmt.Errorf("events are %v, want %v", got, want)
		}
		return nil
	})
}

func TestSettingsChangeRestartsNothing(t *testing.T) {
	policy, replicas := shared.activate(t, "settings")
	deployment := named(&appsv1.Deployment{}, "policy-server-settings")
	if err := shared.mustExist(t.Context(), deployment); err != nil {
		t.Fatal(err)
	}
	before := deployment.ResourceVersion

	change(t, shared, policy, func(p *policiesv1.ClusterAdmissionPolicy) { p.Spec.Settings = settings("b") })
	within(t, patience, shared.configures(policy))
	within(t, patience, shared.policyIs(policy, policiesv1.PolicyStateActive,
		expected{policiesv1.ConditionReady, metav1.ConditionFalse, "Loading"},
		expected{policiesv1.ConditionPolicyServerConfigurationUpToDate, metav1.ConditionFalse, "ConfigurationVersionMismatch"}))
	for _, replica := range replicas {
		replica.load(t)
	}
	within(t, patience, shared.policyIs(policy, policiesv1.PolicyStateActive, enforced...))

	if err := shared.mustExist(t.Context(), deployment); err != nil {
		t.Fatal(err)
	}
	if deployment.ResourceVersion != before {
		t.Errorf("the Deployment was written: resource version %s, want %s", deployment.ResourceVersion, before)
	}
}

func TestRefusedRevisionKeepsTheWebhook(t *testing.T) {
	policy, replicas := shared.activate(t, "refused")
	webhook := validatingWebhook("refused")
	everyOperation := podRule(admissionregistrationv1.Create, admissionregistrationv1.Update, admissionregistrationv1.Delete)

	// Bad settings and, with them, more to guard.
	change(t, shared, policy, func(p *policiesv1.ClusterAdmissionPolicy) {
		p.Spec.Settings = settings("")
		p.Spec.Rules = []policiesv1.Rule{everyOperation}
	})
	within(t, patience, shared.configures(policy))
	refuse := refusal{"kw.cap.refused", contract.ReasonInvalidSettings, "labels: must not be empty"}
	for _, replica := range replicas {
		replica.load(t, refuse)
	}
	within(t, patience, shared.policyIs(policy, policiesv1.PolicyStateActive,
		expected{policiesv1.ConditionReady, metav1.ConditionFalse, "InvalidSettings"},
		expected{policiesv1.ConditionPolicyActive, metav1.ConditionFalse, "PolicyActive"},
		expected{policiesv1.ConditionPolicyServerConfigurationUpToDate, metav1.ConditionTrue, ""}))
	ready := apimeta.FindStatusCondition(policy.Status.Conditions, policiesv1.ConditionReady)
	for _, part := range []string{"2 of 2 replicas", "labels: must not be empty", "policy-server-refused-0", "still serve the older revision"} {
		if !strings.Contains(ready.Message, part) {
			t.Errorf("Ready says %q, want %q in it", ready.Message, part)
		}
	}
	operations := func(want ...admissionregistrationv1.OperationType) func(context.Context) error {
		return func(ctx context.Context) error {
			if err := shared.mustExist(ctx, webhook); err != nil {
				return err
			}
			var got []admissionregistrationv1.OperationType
			for _, rule := range webhook.Webhooks[0].Rules {
				got = append(got, rule.Operations...)
			}
			if !cmp.Equal(got, want) {
				return fmt.Errorf("the webhook guards %v, want %v", got, want)
			}
			return nil
		}
	}
	throughout(t, time.Second, operations(admissionregistrationv1.Create, admissionregistrationv1.Update))

	// What others do to it heals all the same.
	change(t, shared, webhook, func(w *admissionregistrationv1.ValidatingWebhookConfiguration) {
		w.Webhooks[0].Rules[0].Operations = []admissionregistrationv1.OperationType{admissionregistrationv1.Connect}
	})
	within(t, healing, operations(admissionregistrationv1.Create, admissionregistrationv1.Update))

	// The way out never waits: less to guard, and Ignore.
	ignore := admissionregistrationv1.Ignore
	change(t, shared, policy, func(p *policiesv1.ClusterAdmissionPolicy) {
		p.Spec.Rules = []policiesv1.Rule{podRule(admissionregistrationv1.Delete, admissionregistrationv1.Create)}
		p.Spec.FailurePolicy = &ignore
	})
	within(t, healing, func(ctx context.Context) error {
		if err := operations(admissionregistrationv1.Create)(ctx); err != nil {
			return err
		}
		if got := *webhook.Webhooks[0].FailurePolicy; got != ignore {
			return fmt.Errorf("failurePolicy is %s", got)
		}
		return nil
	})

	change(t, shared, policy, func(p *policiesv1.ClusterAdmissionPolicy) { p.Spec.Settings = settings("b") })
	within(t, patience, shared.configures(policy))
	for _, replica := range replicas {
		replica.load(t)
	}
	within(t, patience, shared.policyIs(policy, policiesv1.PolicyStateActive, enforced...))
	within(t, healing, operations(admissionregistrationv1.Delete, admissionregistrationv1.Create))
	within(t, patience, func(context.Context) error {
		want := []string{"Normal Enforced", "Warning InvalidSettings", "Normal Enforced"}
		got := slices.Compact(shared.events(t, policy))
		if !cmp.Equal(got, want) {
			return fmt.Errorf("events are %v, want %v", got, want)
		}
		return nil
	})
}

func TestWebhookStaysWithoutReadyReplicas(t *testing.T) {
	policy, replicas := shared.activate(t, "unready")
	webhook := validatingWebhook("unready")
	for _, replica := range replicas {
		replica.setReady(t, corev1.ConditionFalse)
	}
	within(t, patience, shared.policyIs(policy, policiesv1.PolicyStateActive,
		expected{policiesv1.ConditionReady, metav1.ConditionFalse, "PolicyServerNotReady"}))
	throughout(t, time.Second, func(ctx context.Context) error { return shared.mustExist(ctx, webhook) })

	none := int32(0)
	server := &policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: "unready"}}
	change(t, shared, server, func(s *policiesv1.PolicyServer) { s.Spec.Replicas = &none })
	within(t, patience, shared.policyIs(policy, policiesv1.PolicyStatePending,
		expected{policiesv1.ConditionReady, metav1.ConditionFalse, "PolicyServerScaledToZero"}))
	if err := shared.mustNotExist(t.Context(), webhook); err != nil {
		t.Error(err)
	}
}

func TestEditedAndDeletedWebhookHeals(t *testing.T) {
	shared.activate(t, "healed")
	webhook := validatingWebhook("healed")
	if err := shared.mustExist(t.Context(), webhook); err != nil {
		t.Fatal(err)
	}
	want := webhook.DeepCopy()
	asBefore := func(ctx context.Context) error {
		if err := shared.mustExist(ctx, webhook); err != nil {
			return err
		}
		if diff := cmp.Diff(want.Webhooks, webhook.Webhooks); diff != "" {
			return fmt.Errorf("the webhook is changed:\n%s", diff)
		}
		return nil
	}
	edits := map[string]func(*admissionregistrationv1.ValidatingWebhookConfiguration){
		"rules": func(w *admissionregistrationv1.ValidatingWebhookConfiguration) { w.Webhooks[0].Rules = nil },
		"failurePolicy": func(w *admissionregistrationv1.ValidatingWebhookConfiguration) {
			ignore := admissionregistrationv1.Ignore
			w.Webhooks[0].FailurePolicy = &ignore
		},
		"a further match condition": func(w *admissionregistrationv1.ValidatingWebhookConfiguration) {
			w.Webhooks[0].MatchConditions = append(w.Webhooks[0].MatchConditions,
				admissionregistrationv1.MatchCondition{Name: "never", Expression: "false"})
		},
		"caBundle": func(w *admissionregistrationv1.ValidatingWebhookConfiguration) {
			w.Webhooks[0].ClientConfig.CABundle = nil
		},
		"labels": func(w *admissionregistrationv1.ValidatingWebhookConfiguration) { w.Labels = nil },
	}
	for name, edit := range edits {
		t.Run(name, func(t *testing.T) {
			change(t, shared, webhook, edit)
			within(t, healing, asBefore)
		})
	}
	t.Run("deleted", func(t *testing.T) {
		if err := shared.admin.Delete(t.Context(), webhook); err != nil {
			t.Fatal(err)
		}
		within(t, healing, asBefore)
	})
}

func TestFlipOfMutatingLeavesNoGap(t *testing.T) {
	policy, replicas := shared.activate(t, "flip")
	validating, mutating := validatingWebhook("flip"), mutatingWebhook("flip")
	change(t, shared, policy, func(p *policiesv1.ClusterAdmissionPolicy) { p.Spec.Mutating = true })
	within(t, patience, shared.configures(policy))
	throughout(t, time.Second, func(ctx context.Context) error {
		if err := shared.mustNotExist(ctx, mutating); err != nil {
			return err
		}
		return shared.mustExist(ctx, validating)
	})
	for _, replica := range replicas {
		replica.load(t)
	}
	within(t, patience, func(ctx context.Context) error {
		// The new one is read last: if neither was there, there was a gap.
		old, err := shared.exists(ctx, validating)
		if err != nil {
			return err
		}
		exists, err := shared.exists(ctx, mutating)
		if err != nil {
			return err
		}
		if !old && !exists {
			t.Fatal("no webhook guards the policy")
		}
		if old || !exists {
			return fmt.Errorf("the flip is not complete")
		}
		return nil
	})
	within(t, patience, shared.policyIs(policy, policiesv1.PolicyStateActive, enforced...))
}

func TestInvalidMatchConditionIsTold(t *testing.T) {
	policy, _ := shared.activate(t, "condition")
	webhook := validatingWebhook("condition")
	change(t, shared, policy, func(p *policiesv1.ClusterAdmissionPolicy) {
		p.Spec.MatchConditions = []policiesv1.MatchCondition{{Name: "broken", Expression: "object.spec +"}}
	})
	within(t, patience, shared.policyIs(policy, policiesv1.PolicyStateActive,
		expected{policiesv1.ConditionReady, metav1.ConditionFalse, "InvalidSpec"}))
	if err := shared.mustExist(t.Context(), webhook); err != nil {
		t.Error(err)
	}
	change(t, shared, policy, func(p *policiesv1.ClusterAdmissionPolicy) {
		p.Spec.MatchConditions = []policiesv1.MatchCondition{{Name: "sound", Expression: "true"}}
	})
	within(t, patience, shared.policyIs(policy, policiesv1.PolicyStateActive, enforced...))
}

func TestPolicyServerGoesAfterItsWebhooks(t *testing.T) {
	policy, _ := shared.activate(t, "leaving")
	webhook := validatingWebhook("leaving")
	server := &policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: "leaving"}}
	if err := shared.admin.Delete(t.Context(), server); err != nil {
		t.Fatal(err)
	}
	within(t, patience, func(ctx context.Context) error {
		gone := shared.mustNotExist(ctx, server)
		if gone == nil {
			if err := shared.mustNotExist(ctx, webhook); err != nil {
				t.Fatal(err)
			}
		}
		return gone
	})
	within(t, patience, shared.policyIs(policy, policiesv1.PolicyStateScheduled,
		expected{policiesv1.ConditionReady, metav1.ConditionFalse, "PolicyServerNotFound"}))
	if len(policy.Finalizers) > 0 {
		t.Errorf("finalizers = %v, want none", policy.Finalizers)
	}

	// One of the same name brings the policy back. Its Pods live on: nothing is garbage
	// collected here.
	shared.createServer(t, "leaving")
	within(t, patience, shared.policyIs(policy, policiesv1.PolicyStateActive))
}

func TestUpstreamsManifestsApplyUnchanged(t *testing.T) {
	// Upstream's chart makes the account that the PolicyServer names.
	shared.create(t, named(&corev1.ServiceAccount{}, "policy-server"))
	if err := shared.Kubectl("apply", "-f", "testdata/upstream.yaml"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := shared.Kubectl("delete", "-f", "testdata/upstream.yaml"); err != nil {
			t.Error(err)
		}
	})
	policy := &policiesv1.ClusterAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "privileged-pods"}}
	within(t, patience, shared.configures(policy))
	shared.startReplicas(t, "reserved-instance", 1)
	within(t, patience, shared.policyIs(policy, policiesv1.PolicyStateActive, enforced...))
	server := &policiesv1.PolicyServer{ObjectMeta: metav1.ObjectMeta{Name: "reserved-instance"}}
	within(t, patience, shared.serverIs(server, expected{policiesv1.ConditionReady, metav1.ConditionTrue, "Serving"}))
}
