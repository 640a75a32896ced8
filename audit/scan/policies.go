package scan

import (
	"context"
	"fmt"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/audit/plan"
	"github.com/kubewarden/kubewarden-operator/matching"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// policies reads all policies of all kinds that an audit of the target can need, each kind
// at once, whatever the number of namespaces.
func (s *Scanner) policies(ctx context.Context, target Target) ([]plan.Policy, error) {
	lists := []client.ObjectList{&policiesv1.ClusterAdmissionPolicyList{}, &policiesv1.ClusterAdmissionPolicyGroupList{}}
	if !target.ClusterOnly {
		lists = append(lists, &policiesv1.AdmissionPolicyList{}, &policiesv1.AdmissionPolicyGroupList{})
	}
	var policies []plan.Policy
	for _, list := range lists {
		// The namespace has no meaning for kinds that live in none, and is left out.
		if err := s.config.Client.List(ctx, list, client.InNamespace(target.Namespace)); err != nil {
			return nil, fmt.Errorf("list policies: %w", err)
		}
		err := apimeta.EachListItem(list, func(object runtime.Object) error {
			policy, err := s.policy(object)
			policies = append(policies, policy)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return policies, nil
}

// policy translates a policy of any kind.
func (s *Scanner) policy(object runtime.Object) (plan.Policy, error) {
	switch policy := object.(type) {
	case *policiesv1.ClusterAdmissionPolicy:
		return s.exemptions().clusterAdmissionPolicy(policy), nil
	case *policiesv1.ClusterAdmissionPolicyGroup:
		return s.exemptions().clusterAdmissionPolicyGroup(policy), nil
	case *policiesv1.AdmissionPolicy:
		return s.exemptions().namespaced(policy, contract.AdmissionPolicyID(policy.Namespace, policy.Name)), nil
	case *policiesv1.AdmissionPolicyGroup:
		return s.exemptions().namespaced(policy, contract.AdmissionPolicyGroupID(policy.Namespace, policy.Name)), nil
	default:
		return plan.Policy{}, fmt.Errorf("read a policy: %T is no kind of policy", object)
	}
}

// exemptions are what the operator leaves out of the webhooks that it makes.
type exemptions struct {
	// kubewardenNamespace is left out unless a policy wants it in.
	kubewardenNamespace string
	// namespaces are left out of every webhook.
	namespaces []string
}

func (s *Scanner) exemptions() exemptions {
	return exemptions{kubewardenNamespace: s.config.KubewardenNamespace, namespaces: s.config.ExemptNamespaces}
}

func (e exemptions) clusterAdmissionPolicy(policy *policiesv1.ClusterAdmissionPolicy) plan.Policy {
	p := e.translate(policy, contract.ClusterAdmissionPolicyID(policy.Name))
	p.ContextAware = len(policy.Spec.ContextAwareResources) > 0
	return p
}

func (e exemptions) clusterAdmissionPolicyGroup(group *policiesv1.ClusterAdmissionPolicyGroup) plan.Policy {
	p := e.translate(group, contract.ClusterAdmissionPolicyGroupID(group.Name))
	for _, member := range group.GetMembers() {
		p.ContextAware = p.ContextAware || len(member.ContextAwareResources) > 0
	}
	return p
}

// namespaced translates a policy or group of a namespace. Whatever scope its rules name,
// they match objects in namespaces only: those of its own, which the plan sees to. It is
// never context-aware.
func (e exemptions) namespaced(policy policiesv1.Policy, id string) plan.Policy {
	p := e.translate(policy, id)
	p.Namespace = policy.GetNamespace()
	for i := range p.Webhook.Rules {
		p.Webhook.Rules[i].Scope = nil
	}
	return p
}

// translate is what all kinds of policies have in common.
func (e exemptions) translate(policy policiesv1.Policy, id string) plan.Policy {
	spec := policy.GetAdmissionSpec()
	return plan.Policy{
		ID:              id,
		Name:            policy.GetName(),
		UID:             policy.GetUID(),
		ResourceVersion: policy.GetResourceVersion(),
		Server:          policy.GetPolicyServer(),
		State:           string(policy.GetStatus().PolicyStatus),
		Revision:        revision(policy),
		Deleting:        policy.GetDeletionTimestamp() != nil,
		BackgroundAudit: spec.BackgroundAudit == nil || *spec.BackgroundAudit,
		Monitor:         policy.GetMode() == policiesv1.PolicyModeMonitor,
		Mutating:        policy.IsMutating(),
		Severity:        policy.GetAnnotations()[policiesv1.AnnotationSeverity],
		Category:        policy.GetAnnotations()[policiesv1.AnnotationCategory],
		Webhook: matching.Webhook{
			Name:              id,
			Rules:             rules(spec),
			MatchPolicy:       spec.MatchPolicy,
			FailurePolicy:     spec.FailurePolicy,
			NamespaceSelector: e.namespaceSelector(policy),
			ObjectSelector:    spec.ObjectSelector,
			MatchConditions:   matchConditions(spec),
		},
	}
}

// revision is the one that a verdict of today follows from, whichever replica gives it.
func revision(policy policiesv1.Policy) string {
	status := policy.GetStatus()
	if status.ObservedGeneration != policy.GetGeneration() || len(status.Served) != 1 {
		return ""
	}
	served := status.Served[0]
	if status.Replicas == nil || served.Replicas < 1 || served.Replicas != status.Replicas.Ready {
		return ""
	}
	return served.Revision
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

// namespaceSelector is that of the policy's webhook: the policy's own, without the exempt
// namespaces, and without that of the operator, unless the policy wants it in.
func (e exemptions) namespaceSelector(policy policiesv1.Policy) *metav1.LabelSelector {
	selector := policy.GetNamespaceSelector()
	exempt := slices.Clone(e.namespaces)
	if !policy.AllowsInsideAdmissionControllerNamespace() {
		exempt = append(exempt, e.kubewardenNamespace)
	}
	if len(exempt) == 0 {
		return selector
	}
	narrowed := &metav1.LabelSelector{}
	if selector != nil {
		narrowed = selector.DeepCopy()
	}
	narrowed.MatchExpressions = append(narrowed.MatchExpressions, metav1.LabelSelectorRequirement{
		Key:      namespaceName,
		Operator: metav1.LabelSelectorOpNotIn,
		Values:   exempt,
	})
	return narrowed
}
