package selfmanaged

import (
	"bytes"
	"context"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/controllers/certs"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// fieldOwner owns the caBundles and nothing else, so that who applies the configuration and
// the operator never undo each other's fields.
const fieldOwner = "kubewarden-operator-cabundle"

// annotationInjectCA is how a configuration asks cert-manager for its caBundle.
const annotationInjectCA = "cert-manager.io/inject-ca-from"

// Rights on Secrets in the operator's own namespace are in controllers/policyserver.
//
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingwebhookconfigurations,verbs=get;list;watch;patch

// Config is what the reconciler works with.
type Config struct {
	// Client writes.
	Client client.Client
	// Certificates makes what is trusted and presented.
	Certificates *certs.Certificates
	// Namespace is the operator's own.
	Namespace string
}

// Reconciler keeps the certificate of the operator's own webhooks, and the caBundles in their
// configuration.
type Reconciler struct {
	Config
	// configurations reads the one configuration from a cache of its own.
	configurations client.Reader
}

// NewReconciler returns the reconciler of the operator's own webhooks.
func NewReconciler(config Config) *Reconciler { return &Reconciler{Config: config} }

// Reconcile brings certificates and caBundles to where they should be. Where there is no
// configuration, nobody asks, and there is nothing to do.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := r.configurations.Get(ctx, request.NamespacedName, configuration); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if _, elsewhere := configuration.Annotations[annotationInjectCA]; elsewhere {
		ctrl.LoggerFrom(ctx).Info("The webhooks of the operator's own kinds are left to cert-manager, by an annotation",
			"configuration", configuration.Name, "annotation", annotationInjectCA)
		return ctrl.Result{}, nil
	}
	own, err := r.Certificates.SyncOwnWebhook(ctx)
	if err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: own.After}, r.inject(ctx, configuration, own.CABundle)
}

// inject writes the caBundle into the webhooks that call the operator, where it differs.
func (r *Reconciler) inject(ctx context.Context, live *admissionregistrationv1.ValidatingWebhookConfiguration, caBundle []byte) error {
	patch, changed := caBundles(live, r.Namespace, caBundle)
	if !changed {
		return nil
	}
	ctrl.LoggerFrom(ctx).Info("Telling API servers whom to trust about the operator's own kinds", "configuration", live.Name)
	configuration := client.ApplyConfigurationFromUnstructured(patch)
	if err := r.Client.Apply(ctx, configuration, client.FieldOwner(fieldOwner), client.ForceOwnership); err != nil {
		return fmt.Errorf("apply the caBundle of ValidatingWebhookConfiguration %s: %w", live.Name, err)
	}
	return nil
}

// calls says whether a webhook calls the operator in its namespace.
func calls(webhook *admissionregistrationv1.ValidatingWebhook, namespace string) bool {
	service := webhook.ClientConfig.Service
	return service != nil && service.Name == render.OwnWebhookService && service.Namespace == namespace
}

// differs says whether one of the webhooks that call the operator trusts anybody else.
func differs(live *admissionregistrationv1.ValidatingWebhookConfiguration, namespace string, caBundle []byte) bool {
	for i := range live.Webhooks {
		if webhook := &live.Webhooks[i]; calls(webhook, namespace) && !bytes.Equal(webhook.ClientConfig.CABundle, caBundle) {
			return true
		}
	}
	return false
}
