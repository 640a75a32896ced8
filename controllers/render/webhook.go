package render

import (
	"errors"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// Webhook is the webhook configuration of a policy, a MutatingWebhookConfiguration when
// the policy may change objects, else a ValidatingWebhookConfiguration. Its name is the
// policy's ID. Every field is written out, defaults too: a field that is left out could
// be set by others unnoticed.
func Webhook(in WebhookInput) (Object, error) {
	if len(in.CABundle) == 0 {
		return nil, errors.New("the CA bundle is empty: no API server could trust the policy server")
	}
	id, err := PolicyID(in.Policy)
	if err != nil {
		return nil, err
	}
	if in.Policy.IsMutating() {
		return in.mutating(id), nil
	}
	return in.validating(id), nil
}

// Webhooks names both configurations that a policy can have, the one that is wanted and
// the one that is not. They carry a name only, and serve to delete.
func Webhooks(policy policiesv1.Policy) (wanted, unwanted Object, err error) {
	id, err := PolicyID(policy)
	if err != nil {
		return nil, nil, err
	}
	validating := &admissionregistrationv1.ValidatingWebhookConfiguration{TypeMeta: validatingType()}
	validating.Name = id
	mutating := &admissionregistrationv1.MutatingWebhookConfiguration{TypeMeta: mutatingType()}
	mutating.Name = id
	if policy.IsMutating() {
		return mutating, validating, nil
	}
	return validating, mutating, nil
}

func validatingType() metav1.TypeMeta {
	return typeMeta(admissionregistrationv1.SchemeGroupVersion, "ValidatingWebhookConfiguration")
}

func mutatingType() metav1.TypeMeta {
	return typeMeta(admissionregistrationv1.SchemeGroupVersion, "MutatingWebhookConfiguration")
}

func (in WebhookInput) validating(id string) *admissionregistrationv1.ValidatingWebhookConfiguration {
	spec := in.Policy.GetAdmissionSpec()
	return &admissionregistrationv1.ValidatingWebhookConfiguration{
		TypeMeta:   validatingType(),
		ObjectMeta: in.meta(id),
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name:                    WebhookName(id),
			ClientConfig:            in.clientConfig(id),
			Rules:                   in.rules(),
			FailurePolicy:           orDefault(spec.FailurePolicy, admissionregistrationv1.Fail),
			MatchPolicy:             orDefault(spec.MatchPolicy, admissionregistrationv1.Equivalent),
			NamespaceSelector:       in.namespaceSelector(),
			ObjectSelector:          objectSelector(spec),
			SideEffects:             orDefault(spec.SideEffects, admissionregistrationv1.SideEffectClassNone),
			TimeoutSeconds:          orDefault(spec.TimeoutSeconds, defaultTimeoutSeconds),
			AdmissionReviewVersions: []string{"v1"},
			MatchConditions:         in.matchConditions(),
		}},
	}
}

func (in WebhookInput) mutating(id string) *admissionregistrationv1.MutatingWebhookConfiguration {
	spec := in.Policy.GetAdmissionSpec()
	return &admissionregistrationv1.MutatingWebhookConfiguration{
		TypeMeta:   mutatingType(),
		ObjectMeta: in.meta(id),
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name:                    WebhookName(id),
			ClientConfig:            in.clientConfig(id),
			Rules:                   in.rules(),
			FailurePolicy:           orDefault(spec.FailurePolicy, admissionregistrationv1.Fail),
			MatchPolicy:             orDefault(spec.MatchPolicy, admissionregistrationv1.Equivalent),
			NamespaceSelector:       in.namespaceSelector(),
			ObjectSelector:          objectSelector(spec),
			SideEffects:             orDefault(spec.SideEffects, admissionregistrationv1.SideEffectClassNone),
			TimeoutSeconds:          orDefault(spec.TimeoutSeconds, defaultTimeoutSeconds),
			AdmissionReviewVersions: []string{"v1"},
			ReinvocationPolicy:      new(admissionregistrationv1.NeverReinvocationPolicy),
			MatchConditions:         in.matchConditions(),
		}},
	}
}

// defaultTimeoutSeconds is the API server's own default.
const defaultTimeoutSeconds = int32(10)

func (in WebhookInput) meta(id string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name:   id,
		Labels: merge(in.Installation.labels(), map[string]string{labelPartOf: partOfKubewarden}),
		Annotations: merge(in.Installation.annotations(), map[string]string{
			AnnotationPolicyName:      in.Policy.GetName(),
			AnnotationPolicyNamespace: in.Policy.GetNamespace(),
		}),
	}
}

func (in WebhookInput) clientConfig(id string) admissionregistrationv1.WebhookClientConfig {
	return admissionregistrationv1.WebhookClientConfig{
		Service: &admissionregistrationv1.ServiceReference{
			Namespace: in.Config.Namespace,
			Name:      ServiceName(in.Policy.GetPolicyServer()),
			Path:      new(contract.ValidatePath(id)),
			Port:      new(int32(contract.PortService)),
		},
		CABundle: slices.Clone(in.CABundle),
	}
}

// rules are the policy's. Those of a namespaced policy match namespaced resources only:
// nothing outside of its namespace is a tenant's to judge.
func (in WebhookInput) rules() []admissionregistrationv1.RuleWithOperations {
	spec := in.Policy.GetAdmissionSpec()
	rules := make([]admissionregistrationv1.RuleWithOperations, 0, len(spec.Rules))
	for i := range spec.Rules {
		rule := spec.Rules[i].RuleWithOperations()
		rule.Scope = orDefault(rule.Scope, admissionregistrationv1.AllScopes)
		if isNamespaced(in.Policy) {
			rule.Scope = new(admissionregistrationv1.NamespacedScope)
		}
		rules = append(rules, rule)
	}
	return rules
}

// namespaceSelector is the policy's own, whole, and a list of namespaces that are left
// out: the operator's, unless the policy wants it in, and the exempt ones. A namespaced
// policy in an exempt namespace therefore judges nothing.
func (in WebhookInput) namespaceSelector() *metav1.LabelSelector {
	selector := &metav1.LabelSelector{}
	if own := in.Policy.GetNamespaceSelector(); own != nil {
		selector = own.DeepCopy()
	}
	exempt := slices.Clone(in.Installation.ExemptNamespaces)
	if !in.Policy.AllowsInsideAdmissionControllerNamespace() {
		exempt = append(exempt, in.Config.Namespace)
	}
	if len(exempt) == 0 {
		return selector
	}
	slices.Sort(exempt)
	selector.MatchExpressions = append([]metav1.LabelSelectorRequirement{{
		Key:      corev1.LabelMetadataName,
		Operator: metav1.LabelSelectorOpNotIn,
		Values:   slices.Compact(exempt),
	}}, selector.MatchExpressions...)
	return selector
}

func objectSelector(spec *policiesv1.AdmissionSpec) *metav1.LabelSelector {
	if spec.ObjectSelector == nil {
		return &metav1.LabelSelector{}
	}
	return spec.ObjectSelector.DeepCopy()
}

func orDefault[T any](value *T, otherwise T) *T {
	return new(valueOr(value, otherwise))
}
