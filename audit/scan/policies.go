package scan

import (
	"context"
	"errors"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/audit/plan"
	"github.com/kubewarden/kubewarden-operator/matching"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// policies reads all policies of all kinds that an audit in the target can need.
func (s *Scanner) policies(ctx context.Context, target Target) ([]plan.Policy, error) {
	kinds := []func(context.Context, Target) ([]plan.Policy, error){
		s.clusterAdmissionPolicies,
	}
	var policies []plan.Policy
	errs := make([]error, 0, len(kinds))
	for _, read := range kinds {
		some, err := read(ctx, target)
		policies = append(policies, some...)
		errs = append(errs, err)
	}
	return policies, errors.Join(errs...)
}

func (s *Scanner) clusterAdmissionPolicies(ctx context.Context, _ Target) ([]plan.Policy, error) {
	list := &policiesv1.ClusterAdmissionPolicyList{}
	if err := s.config.Client.List(ctx, list); err != nil {
		return nil, fmt.Errorf("list ClusterAdmissionPolicies: %w", err)
	}
	policies := make([]plan.Policy, 0, len(list.Items))
	for i := range list.Items {
		policies = append(policies, clusterAdmissionPolicy(&list.Items[i], s.config.KubewardenNamespace))
	}
	return policies, nil
}

func clusterAdmissionPolicy(policy *policiesv1.ClusterAdmissionPolicy, kubewardenNamespace string) plan.Policy {
	p := translate(policy, kubewardenNamespace)
	p.ID = contract.ClusterAdmissionPolicyID(policy.Name)
	p.Webhook.Name = p.ID
	p.ContextAware = len(policy.Spec.ContextAwareResources) > 0
	return p
}

// translate is what all kinds of policies have in common.
func translate(policy policiesv1.Policy, kubewardenNamespace string) plan.Policy {
	spec := policy.GetAdmissionSpec()
	return plan.Policy{
		Name:            policy.GetName(),
		UID:             policy.GetUID(),
		ResourceVersion: policy.GetResourceVersion(),
		Namespace:       policy.GetNamespace(),
		Server:          policy.GetPolicyServer(),
		State:           string(policy.GetStatus().PolicyStatus),
		Deleting:        policy.GetDeletionTimestamp() != nil,
		BackgroundAudit: spec.BackgroundAudit == nil || *spec.BackgroundAudit,
		Monitor:         policy.GetMode() == policiesv1.PolicyModeMonitor,
		Mutating:        policy.IsMutating(),
		Severity:        policy.GetAnnotations()[policiesv1.AnnotationSeverity],
		Category:        policy.GetAnnotations()[policiesv1.AnnotationCategory],
		Webhook: matching.Webhook{
			Rules:             rules(spec),
			MatchPolicy:       spec.MatchPolicy,
			FailurePolicy:     spec.FailurePolicy,
			NamespaceSelector: namespaceSelector(policy, kubewardenNamespace),
			ObjectSelector:    spec.ObjectSelector,
			MatchConditions:   matchConditions(spec),
		},
	}
}

func rules(spec *policiesv1.AdmissionSpec) []admissionregistrationv1.RuleWithOperations {
	rules := make([]admissionregistrationv1.RuleWithOperations, 0, len(spec.Rules))
	for i := range spec.Rules {
		rules = append(rules, spec.Rules[i].RuleWithOperations())
	}
	return rules
}

func matchConditions(spec *policiesv1.AdmissionSpec) []admissionregistrationv1.MatchCondition {
	conditions := make([]admissionregistrationv1.MatchCondition, 0, len(spec.MatchConditions))
	for _, condition := range spec.MatchConditions {
		conditions = append(conditions, admissionregistrationv1.MatchCondition{Name: condition.Name, Expression: condition.Expression})
	}
	return conditions
}

// namespaceName is the label that the API server puts on every namespace: its name.
const namespaceName = "kubernetes.io/metadata.name"

// namespaceSelector is that of the policy's webhook: the policy's own, without the
// namespace of the operator, unless the policy wants that in.
func namespaceSelector(policy policiesv1.Policy, kubewardenNamespace string) *metav1.LabelSelector {
	selector := policy.GetNamespaceSelector()
	if policy.AllowsInsideAdmissionControllerNamespace() {
		return selector
	}
	narrowed := &metav1.LabelSelector{}
	if selector != nil {
		narrowed = selector.DeepCopy()
	}
	narrowed.MatchExpressions = append(narrowed.MatchExpressions, metav1.LabelSelectorRequirement{
		Key:      namespaceName,
		Operator: metav1.LabelSelectorOpNotIn,
		Values:   []string{kubewardenNamespace},
	})
	return narrowed
}
