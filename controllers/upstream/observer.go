package upstream

import (
	"context"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// Rights on Deployments in the operator's own namespace and on webhook configurations are
// those of controllers/policyserver and controllers/policy. Deployments of other namespaces
// are none of the operator's business: upstream's webhooks tell that it is at home there.

// Observer knows what upstream made, out of a cache of its own: those of the manager hold
// what the operator made. It is safe for concurrent use.
type Observer struct {
	cache     cache.Cache
	namespace string
}

// NewObserver adds the cache to the manager. namespace is the operator's own.
func NewObserver(manager ctrl.Manager, namespace string) (*Observer, error) {
	notOurs, err := labels.NewRequirement(render.LabelInstallation, selection.DoesNotExist, nil)
	if err != nil {
		return nil, fmt.Errorf("select what upstream made: %w", err)
	}
	webhooks := cache.ByObject{Label: labels.SelectorFromSet(render.UpstreamLabels()).Add(*notOurs)}
	beside, err := cluster.New(manager.GetConfig(), func(options *cluster.Options) {
		options.Scheme = manager.GetScheme()
		options.Logger = manager.GetLogger()
		options.Cache = cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(),
			ByObject: map[client.Object]cache.ByObject{
				&appsv1.Deployment{}: {
					Label:      labels.SelectorFromSet(render.UpstreamControllerLabels()),
					Namespaces: map[string]cache.Config{namespace: {}},
				},
				&admissionregistrationv1.ValidatingWebhookConfiguration{}: webhooks,
				&admissionregistrationv1.MutatingWebhookConfiguration{}:   webhooks,
			},
		}
	})
	if err != nil {
		return nil, fmt.Errorf("make the cache of what upstream made: %w", err)
	}
	if err := manager.Add(beside); err != nil {
		return nil, fmt.Errorf("add the cache of what upstream made: %w", err)
	}
	return &Observer{cache: beside.GetCache(), namespace: namespace}, nil
}

// Sources are the events that change what an Observer says.
func (o *Observer) Sources(handler handler.EventHandler) []source.Source {
	return []source.Source{
		source.Kind[client.Object](o.cache, &appsv1.Deployment{}, handler),
		source.Kind[client.Object](o.cache, &admissionregistrationv1.ValidatingWebhookConfiguration{}, handler),
		source.Kind[client.Object](o.cache, &admissionregistrationv1.MutatingWebhookConfiguration{}, handler),
	}
}

// Running says where upstream's controller runs and how to end that; empty when it does
// not. In the operator's namespace its Deployment tells, as long as it wants a replica or has
// one. Elsewhere the webhooks of the custom resources do, which are there from its
// installation to its end.
func (o *Observer) Running(ctx context.Context) (string, error) {
	var deployments appsv1.DeploymentList
	if err := o.cache.List(ctx, &deployments); err != nil {
		return "", fmt.Errorf("list Deployments of upstream: %w", err)
	}
	for i := range deployments.Items {
		if deployment := &deployments.Items[i]; runs(deployment) {
			return fmt.Sprintf("Deployment %s/%s: scale it to 0", deployment.Namespace, deployment.Name), nil
		}
	}
	webhooks, err := o.controllerWebhooks(ctx)
	if err != nil {
		return "", err
	}
	for _, webhook := range webhooks {
		if service := webhook.elsewhere(o.namespace); service != nil {
			return fmt.Sprintf("%s %s calls Service %s/%s: scale the Deployment behind it to 0, then delete this configuration",
				webhook.kind, webhook.GetName(), service.Namespace, service.Name), nil
		}
	}
	return "", nil
}

// runs says whether a Deployment has a replica, or will have one.
func runs(deployment *appsv1.Deployment) bool {
	wanted := deployment.Spec.Replicas
	return wanted == nil || *wanted > 0 || deployment.Status.Replicas > 0
}

// Abandoned are the webhook configurations through which API servers ask upstream's
// controller in the operator's namespace about the custom resources. With nobody to answer
// they refuse every write of one. They count only while upstream's controller does not run.
func (o *Observer) Abandoned(ctx context.Context) ([]client.Object, error) {
	webhooks, err := o.controllerWebhooks(ctx)
	if err != nil {
		return nil, err
	}
	abandoned := make([]client.Object, 0, len(webhooks))
	for _, webhook := range webhooks {
		abandoned = append(abandoned, webhook.Object)
	}
	return abandoned, nil
}
