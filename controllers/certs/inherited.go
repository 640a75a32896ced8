package certs

import (
	"context"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// What upstream's controller left is not in the caches, which hold what the operator made.
// It is read from the API server until it is taken over, so that admission goes on meanwhile:
// the authority of upstream's stays trusted beside the operator's own, and a server presents
// what upstream issued until every webhook that calls it trusts both.

// inheritedAuthorities are those that webhooks of upstream's trust; none when there are none.
func (c *Certificates) inheritedAuthorities(ctx context.Context) (Published, error) {
	secret, err := c.uncachedSecret(ctx, render.SecretCA)
	if err != nil || !render.IsUpstreams(secret) {
		return Published{}, err
	}
	return Published{Current: secret.Data[render.KeyCA], Old: secret.Data[render.KeyOldCA]}, nil
}

// formerlyPublished is what was published where that cannot be read any more, or never was: by
// upstream, or by what webhooks trust. Somebody presents a certificate of it, perhaps.
func (c *Certificates) formerlyPublished(ctx context.Context, spoiled Published) (Published, error) {
	inherited, err := c.inheritedAuthorities(ctx)
	if err != nil || len(inherited.Current) > 0 {
		return inherited, err
	}
	webhooks, err := c.webhooksOf(ctx, "")
	if err != nil {
		return Published{}, err
	}
	return Recovered(spoiled, webhooks), nil
}

// presented is the Secret that the replicas of a server mount, upstream's too; empty when
// there is none.
func (c *Certificates) presented(ctx context.Context, server string) (*corev1.Secret, error) {
	secret, err := c.secret(ctx, render.ServingSecretName(server))
	if err != nil || secret.UID != "" {
		return secret, err
	}
	return c.uncachedSecret(ctx, render.ServingSecretName(server))
}

// presentedBy is the Secret with the pair that a client uses, upstream's too; empty when there
// is none.
func (c *Certificates) presentedBy(ctx context.Context, one render.Client) (*corev1.Secret, error) {
	secret, err := c.secret(ctx, one.Presented)
	if err != nil || secret.UID != "" {
		return secret, err
	}
	return c.uncachedSecret(ctx, one.Presented)
}

// trustOf returns whom the webhooks among those selected trust that call a policy
// server; all policy servers where none is named.
func (c *Certificates) trustOf(ctx context.Context, reader client.Reader, server string, selected client.ListOption) ([]Trust, error) {
	var validating admissionregistrationv1.ValidatingWebhookConfigurationList
	if err := reader.List(ctx, &validating, selected); err != nil {
		return nil, fmt.Errorf("list ValidatingWebhookConfigurations: %w", err)
	}
	var mutating admissionregistrationv1.MutatingWebhookConfigurationList
	if err := reader.List(ctx, &mutating, selected); err != nil {
		return nil, fmt.Errorf("list MutatingWebhookConfigurations: %w", err)
	}
	var trust []Trust
	for i := range validating.Items {
		configuration := &validating.Items[i]
		for j := range configuration.Webhooks {
			if c.calls(configuration.Webhooks[j].ClientConfig, server) {
				trust = append(trust, trustIn("ValidatingWebhookConfiguration", configuration, configuration.Webhooks[j].ClientConfig))
			}
		}
	}
	for i := range mutating.Items {
		configuration := &mutating.Items[i]
		for j := range configuration.Webhooks {
			if c.calls(configuration.Webhooks[j].ClientConfig, server) {
				trust = append(trust, trustIn("MutatingWebhookConfiguration", configuration, configuration.Webhooks[j].ClientConfig))
			}
		}
	}
	return trust, nil
}
