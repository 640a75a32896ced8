//go:build integration

package model

import (
	"fmt"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
)

// checkPolicies holds webhooks and statuses of all policies against what the replicas say.
func (v *view) checkPolicies(w *world) error {
	known := map[string]bool{}
	for _, policy := range v.policies {
		name := webhookName(policy)
		known[name] = true
		if policy.GetDeletionTimestamp() != nil {
			return fmt.Errorf("policy %s is deleted and stays, with finalizers %v", name, policy.GetFinalizers())
		}
		s := v.standing(policy)
		if err := v.checkWebhook(w, policy, s); err != nil {
			return fmt.Errorf("policy %s: %w", name, err)
		}
		if err := v.checkPolicyStatus(policy, s); err != nil {
			return fmt.Errorf("policy %s (%d ready, %d serving, %d enforcing, %d refusing): %w",
				name, s.ready, s.serving, s.enforcing, s.refusing, err)
		}
	}
	for name := range v.validating {
		if !known[name] {
			return fmt.Errorf("webhook %s stands, and its policy is gone", name)
		}
	}
	for name := range v.mutating {
		if !known[name] {
			return fmt.Errorf("webhook %s stands, and its policy is gone", name)
		}
	}
	return nil
}

func (v *view) checkWebhook(w *world, policy policiesv1.Policy, s standing) error {
	name := webhookName(policy)
	validating, mutating := v.validating[name], v.mutating[name]
	reason := v.withdrawn(s)
	switch {
	case reason != "" && v.stands(policy):
		return fmt.Errorf("its webhook stands, though %s", reason)
	case reason != "":
		return nil
	case !v.stands(policy) && s.ready > 0 && s.serving == s.ready:
		return fmt.Errorf("all %d ready replicas serve it, and it has no webhook", s.ready)
	case !v.stands(policy) && w.witness.mustStand(name):
		return fmt.Errorf("its webhook is gone without a reason")
	case !v.stands(policy):
		return nil
	case validating != nil && mutating != nil:
		return fmt.Errorf("it has two webhooks")
	}
	guard := guardOf(validating, mutating)
	if guard.service != "policy-server-"+policy.GetPolicyServer() || guard.path != "/validate/"+name {
		return fmt.Errorf("its webhook calls %s%s", guard.service, guard.path)
	}
	if !slices.Contains(policy.GetFinalizers(), policiesv1.Finalizer) {
		return fmt.Errorf("its webhook stands, and it has no finalizer")
	}
	return guard.checkSpec(policy, s)
}

// guard is what a webhook says, of either kind.
type guard struct {
	mutating      bool
	service, path string
	failure       admissionregistrationv1.FailurePolicyType
	rules         []admissionregistrationv1.RuleWithOperations
	bundle        []byte
}

func guardOf(validating *admissionregistrationv1.ValidatingWebhookConfiguration, mutating *admissionregistrationv1.MutatingWebhookConfiguration) guard {
	if mutating != nil {
		webhook := mutating.Webhooks[0]
		return guard{
			true, webhook.ClientConfig.Service.Name, *webhook.ClientConfig.Service.Path,
			*webhook.FailurePolicy, webhook.Rules, webhook.ClientConfig.CABundle,
		}
	}
	webhook := validating.Webhooks[0]
	return guard{
		false, webhook.ClientConfig.Service.Name, *webhook.ClientConfig.Service.Path,
		*webhook.FailurePolicy, webhook.Rules, webhook.ClientConfig.CABundle,
	}
}

// checkSpec says what of a webhook is not as the spec wants it. While replicas serve
// something else it may be what a former spec wanted, as long as it guards no more.
func (g guard) checkSpec(policy policiesv1.Policy, s standing) error {
	if len(g.bundle) == 0 {
		return fmt.Errorf("its webhook trusts nobody")
	}
	spec := policy.GetAdmissionSpec()
	wanted := admissionregistrationv1.Fail
	if spec.FailurePolicy != nil {
		wanted = *spec.FailurePolicy
	}
	if wanted == admissionregistrationv1.Ignore && g.failure != wanted {
		return fmt.Errorf("its webhook still says failurePolicy %s", g.failure)
	}
	if err := g.guardsNoMore(&spec.Rules[0]); err != nil {
		return err
	}
	if s.ready > 0 && !s.enforced() {
		return nil
	}
	if g.failure != wanted || g.mutating != policy.IsMutating() {
		return fmt.Errorf("its webhook is mutating %t with failurePolicy %s, want %t and %s", g.mutating, g.failure, policy.IsMutating(), wanted)
	}
	if len(g.rules) != 1 || !slices.Equal(g.rules[0].Operations, spec.Rules[0].Operations) || !slices.Equal(g.rules[0].Resources, spec.Rules[0].Resources) {
		return fmt.Errorf("its webhook guards %v, want %v", g.rules, spec.Rules)
	}
	return nil
}

// guardsNoMore complains about an operation or a resource that the wanted rule has not.
func (g guard) guardsNoMore(wanted *policiesv1.Rule) error {
	for i := range g.rules {
		for _, operation := range g.rules[i].Operations {
			if !slices.Contains(wanted.Operations, operation) {
				return fmt.Errorf("its webhook still guards %s", operation)
			}
		}
		for _, resource := range g.rules[i].Resources {
			if !slices.Contains(wanted.Resources, resource) {
				return fmt.Errorf("its webhook still guards %s", resource)
			}
		}
	}
	return nil
}

func (v *view) checkPolicyStatus(policy policiesv1.Policy, s standing) error {
	status := policy.GetStatus()
	if status.ObservedGeneration != policy.GetGeneration() {
		return fmt.Errorf("status tells of generation %d, want %d", status.ObservedGeneration, policy.GetGeneration())
	}
	if stage := v.stage(policy); status.PolicyStatus != stage {
		return fmt.Errorf("policyStatus is %s, want %s", status.PolicyStatus, stage)
	}
	if err := checkCounts(status, s); err != nil {
		return err
	}
	if s.enforced() && string(status.Mode) != string(policy.GetMode()) {
		return fmt.Errorf("mode is %s, want %s", status.Mode, policy.GetMode())
	}
	for condition, want := range v.conditions(policy, s) {
		if err := want.check(status.Conditions, condition, policy.GetGeneration()); err != nil {
			return err
		}
	}
	return nil
}

func (v *view) stage(policy policiesv1.Policy) policiesv1.PolicyState {
	switch {
	case v.stands(policy):
		return policiesv1.PolicyStateActive
	case v.servers[policy.GetPolicyServer()] == nil:
		return policiesv1.PolicyStateScheduled
	default:
		return policiesv1.PolicyStatePending
	}
}

func checkCounts(status *policiesv1.PolicyStatus, s standing) error {
	if s.server == nil {
		if status.Replicas != nil || len(status.Served) > 0 {
			return fmt.Errorf("status counts replicas of no server: %+v, %+v", status.Replicas, status.Served)
		}
		return nil
	}
	if status.Replicas == nil || *status.Replicas != (policiesv1.PolicyReplicas{Ready: s.ready, Enforcing: s.enforcing}) {
		return fmt.Errorf("status counts %+v", status.Replicas)
	}
	served := int32(0)
	for _, revision := range status.Served {
		served += revision.Replicas
	}
	if served != s.serving {
		return fmt.Errorf("status says that %d replicas serve some revision: %+v", served, status.Served)
	}
	return nil
}

// wanted is what a condition is to say; any reason will do where none is given.
type wanted struct {
	status  bool
	reasons []string
}

func (want wanted) check(conditions []metav1.Condition, conditionType string, generation int64) error {
	condition := apimeta.FindStatusCondition(conditions, conditionType)
	status := metav1.ConditionFalse
	if want.status {
		status = metav1.ConditionTrue
	}
	switch {
	case condition == nil:
		return fmt.Errorf("it has no condition %s", conditionType)
	case condition.ObservedGeneration != generation:
		return fmt.Errorf("%s tells of generation %d, want %d", conditionType, condition.ObservedGeneration, generation)
	case condition.Status != status, len(want.reasons) > 0 && !slices.Contains(want.reasons, condition.Reason):
		return fmt.Errorf("%s is %s with reason %s (%s), want %s %v",
			conditionType, condition.Status, condition.Reason, condition.Message, status, want.reasons)
	default:
		return nil
	}
}

func (v *view) conditions(policy policiesv1.Policy, s standing) map[string]wanted {
	inForce := v.stands(policy) && s.enforced()
	upToDate := wanted{true, []string{policiesv1.ReasonConfigurationVersionMatch}}
	switch {
	case s.ready == 0:
		upToDate = wanted{false, []string{policiesv1.ReasonUnknownConfigurationVersion}}
	case s.enforcing+s.refusing < s.ready:
		upToDate = wanted{false, []string{policiesv1.ReasonConfigurationVersionMismatch}}
	}
	return map[string]wanted{
		policiesv1.ConditionReady:                             v.readiness(policy, s),
		policiesv1.ConditionPolicyActive:                      {inForce, nil},
		policiesv1.ConditionPolicyUniquelyReachable:           {s.enforced(), nil},
		policiesv1.ConditionPolicyServerConfigurationUpToDate: upToDate,
	}
}

func (v *view) readiness(policy policiesv1.Policy, s standing) wanted {
	if reason := v.withdrawn(s); reason != "" {
		return wanted{false, []string{reason}}
	}
	switch {
	case v.stands(policy) && s.enforced():
		return wanted{true, []string{policiesv1.ReasonEnforced}}
	case len(s.reasons) > 0:
		want := wanted{}
		for reason := range s.reasons {
			want.reasons = append(want.reasons, reason)
		}
		return want
	case s.ready == 0:
		return wanted{false, []string{policiesv1.ReasonPolicyServerNotReady}}
	default:
		return wanted{false, []string{policiesv1.ReasonLoading}}
	}
}
