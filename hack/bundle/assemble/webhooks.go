package assemble

import (
	"fmt"
	"strings"

	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// defaultServicePort is the port that the API server calls where a webhook names none.
const defaultServicePort = 443

// webhook is what the two kinds of webhooks have in common.
type webhook struct {
	kind operatorsv1alpha1.WebhookAdmissionType
	admissionregistrationv1.ValidatingWebhook
	reinvocation *admissionregistrationv1.ReinvocationPolicyType
}

// readWebhooks reads the webhooks of a configuration of either kind.
func readWebhooks(object *unstructured.Unstructured) ([]webhook, error) {
	var webhooks []webhook
	if object.GetKind() == "ValidatingWebhookConfiguration" {
		configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{}
		if err := convert(object, configuration); err != nil {
			return nil, err
		}
		for _, one := range configuration.Webhooks {
			webhooks = append(webhooks, webhook{kind: operatorsv1alpha1.ValidatingAdmissionWebhook, ValidatingWebhook: one})
		}
		return webhooks, nil
	}
	configuration := &admissionregistrationv1.MutatingWebhookConfiguration{}
	if err := convert(object, configuration); err != nil {
		return nil, err
	}
	for _, one := range configuration.Webhooks {
		webhooks = append(webhooks, webhook{
			kind:         operatorsv1alpha1.MutatingAdmissionWebhook,
			reinvocation: one.ReinvocationPolicy,
			ValidatingWebhook: admissionregistrationv1.ValidatingWebhook{
				Name: one.Name, ClientConfig: one.ClientConfig, Rules: one.Rules, FailurePolicy: one.FailurePolicy, MatchPolicy: one.MatchPolicy,
				NamespaceSelector: one.NamespaceSelector, ObjectSelector: one.ObjectSelector, SideEffects: one.SideEffects,
				TimeoutSeconds: one.TimeoutSeconds, AdmissionReviewVersions: one.AdmissionReviewVersions, MatchConditions: one.MatchConditions,
			},
		})
	}
	return webhooks, nil
}

// webhookServices names the Services that the webhooks of a configuration are called through.
func webhookServices(configuration *unstructured.Unstructured) ([]string, error) {
	webhooks, err := readWebhooks(configuration)
	if err != nil {
		return nil, err
	}
	var services []string
	for _, one := range webhooks {
		if one.ClientConfig.Service == nil {
			return nil, fmt.Errorf("webhook %s is not called through a Service; OLM calls no other", one.Name)
		}
		services = append(services, one.ClientConfig.Service.Name)
	}
	return services, nil
}

// webhookDescriptions has OLM install the webhooks of the operator's own kinds, and issue
// their certificates.
func webhookDescriptions(p *parts) ([]operatorsv1alpha1.WebhookDescription, error) {
	var descriptions []operatorsv1alpha1.WebhookDescription
	for _, configuration := range p.webhooks {
		webhooks, err := readWebhooks(configuration)
		if err != nil {
			return nil, err
		}
		for _, one := range webhooks {
			description, err := describeWebhook(p, one)
			if err != nil {
				return nil, err
			}
			descriptions = append(descriptions, description)
		}
	}
	return descriptions, nil
}

func describeWebhook(p *parts, one webhook) (operatorsv1alpha1.WebhookDescription, error) {
	if len(one.MatchConditions) > 0 || one.NamespaceSelector != nil {
		return operatorsv1alpha1.WebhookDescription{}, fmt.Errorf("webhook %s has match conditions or a namespace selector; OLM drops the first and replaces the second", one.Name)
	}
	target, err := servicePort(p.services, one.ClientConfig.Service)
	if err != nil {
		return operatorsv1alpha1.WebhookDescription{}, fmt.Errorf("webhook %s: %w", one.Name, err)
	}
	return operatorsv1alpha1.WebhookDescription{
		GenerateName:            strings.ToLower(one.Name),
		Type:                    one.kind,
		DeploymentName:          p.deployment.Name,
		ContainerPort:           defaultServicePort,
		TargetPort:              target,
		Rules:                   one.Rules,
		FailurePolicy:           one.FailurePolicy,
		MatchPolicy:             one.MatchPolicy,
		ObjectSelector:          one.ObjectSelector,
		SideEffects:             one.SideEffects,
		TimeoutSeconds:          one.TimeoutSeconds,
		AdmissionReviewVersions: one.AdmissionReviewVersions,
		ReinvocationPolicy:      one.reinvocation,
		WebhookPath:             one.ClientConfig.Service.Path,
	}, nil
}

// servicePort is the port of the container behind the port of a Service.
func servicePort(services []*unstructured.Unstructured, reference *admissionregistrationv1.ServiceReference) (*intstr.IntOrString, error) {
	wanted := int64(defaultServicePort)
	if reference.Port != nil {
		wanted = int64(*reference.Port)
	}
	for _, service := range services {
		if service.GetName() != reference.Name {
			continue
		}
		ports, _, err := unstructured.NestedSlice(service.Object, "spec", "ports")
		if err != nil {
			return nil, err
		}
		for _, entry := range ports {
			if port, isMap := entry.(map[string]any); isMap && port["port"] == wanted {
				return targetPort(port), nil
			}
		}
	}
	return nil, fmt.Errorf("no Service %s with port %d was rendered", reference.Name, wanted)
}

func targetPort(port map[string]any) *intstr.IntOrString {
	var target intstr.IntOrString
	switch value := port["targetPort"].(type) {
	case string:
		target = intstr.FromString(value)
	case int64:
		target = intstr.FromInt32(int32(value)) //nolint:gosec // a port
	default:
		number, _ := port["port"].(int64)
		target = intstr.FromInt32(int32(number)) //nolint:gosec // a port
	}
	return &target
}
