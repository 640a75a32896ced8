package upstream

import (
	"context"
	"fmt"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// webhook is a webhook configuration of either kind, with whom it calls.
type webhook struct {
	client.Object
	kind     string
	services []*admissionregistrationv1.ServiceReference
}

// elsewhere is a Service of another namespace that is called; nil for none.
func (w webhook) elsewhere(namespace string) *admissionregistrationv1.ServiceReference {
	for _, service := range w.services {
		if service != nil && service.Namespace != namespace {
			return service
		}
	}
	return nil
}

// controllerWebhooks are those through which upstream's controller is asked.
func (o *Observer) controllerWebhooks(ctx context.Context) ([]webhook, error) {
	all, err := o.webhooks(ctx)
	if err != nil {
		return nil, err
	}
	wanted := labels.SelectorFromSet(render.UpstreamControllerLabels())
	var chosen []webhook
	for _, one := range all {
		if wanted.Matches(labels.Set(one.GetLabels())) {
			chosen = append(chosen, one)
		}
	}
	return chosen, nil
}

// webhooks are all that upstream made and that are not taken over.
func (o *Observer) webhooks(ctx context.Context) ([]webhook, error) {
	var validating admissionregistrationv1.ValidatingWebhookConfigurationList
	if err := o.cache.List(ctx, &validating); err != nil {
		return nil, fmt.Errorf("list ValidatingWebhookConfigurations of upstream: %w", err)
	}
	var mutating admissionregistrationv1.MutatingWebhookConfigurationList
	if err := o.cache.List(ctx, &mutating); err != nil {
		return nil, fmt.Errorf("list MutatingWebhookConfigurations of upstream: %w", err)
	}
	var all []webhook
	for i := range validating.Items {
		one := webhook{Object: &validating.Items[i], kind: "ValidatingWebhookConfiguration"}
		for j := range validating.Items[i].Webhooks {
			one.services = append(one.services, validating.Items[i].Webhooks[j].ClientConfig.Service)
		}
		all = append(all, one)
	}
	for i := range mutating.Items {
		one := webhook{Object: &mutating.Items[i], kind: "MutatingWebhookConfiguration"}
		for j := range mutating.Items[i].Webhooks {
			one.services = append(one.services, mutating.Items[i].Webhooks[j].ClientConfig.Service)
		}
		all = append(all, one)
	}
	return all, nil
}

// WebhooksOf are the webhook configurations that upstream made for a policy, of both kinds
// and of all names that upstream gave them.
func (o *Observer) WebhooksOf(ctx context.Context, policy policiesv1.Policy) ([]client.Object, error) {
	names, err := render.UpstreamWebhookNames(policy)
	if err != nil {
		return nil, err
	}
	all, err := o.webhooks(ctx)
	if err != nil {
		return nil, err
	}
	var chosen []client.Object
	for _, one := range all {
		if slices.Contains(names, one.GetName()) && render.IsUpstreams(one) && render.IsAbout(one, policy) {
			chosen = append(chosen, one.Object)
		}
	}
	return chosen, nil
}
