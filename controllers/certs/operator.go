package certs

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// SyncOperator has the provider in use issue the pair with which the operator calls policy
// servers, and tells when to look again though nothing happened. The pair is used from where
// it is issued: should servers not trust its authority yet, a call fails that nobody depends on.
func (c *Certificates) SyncOperator(ctx context.Context, kubewarden *operatorv1alpha1.Kubewarden) (time.Duration, error) {
	provider := c.inUse(kubewarden)
	if provider == nil {
		return 0, nil // a change of the status wakes this again
	}
	issued, err := provider.pair(ctx, c.operatorHolder(kubewarden))
	return issued.plan.After, err
}

// operatorHolder is the operator as a client.
func (c *Certificates) operatorHolder(kubewarden *operatorv1alpha1.Kubewarden) holder {
	installation := render.NewInstallation(kubewarden)
	return holder{
		owner:       kubewarden,
		claim:       Claim{URI: contract.OperatorIdentity},
		certificate: render.OperatorCertificate(c.render, installation),
		secret: func(pair Pair) *corev1.Secret {
			return render.OperatorSecret(c.render, installation, pair.Certificate, pair.Key)
		},
	}
}

// OperatorCertificate is the pair with which the operator calls policy servers. The error says
// why there is none that they would accept.
func (c *Certificates) OperatorCertificate(ctx context.Context) (*tls.Certificate, error) {
	secret, err := c.secret(ctx, render.OperatorClient)
	if err != nil {
		return nil, err
	}
	claim := Claim{URI: contract.OperatorIdentity}
	if err := claim.usable(pairOf(secret), c.now()); err != nil {
		return nil, fmt.Errorf("the operator's client certificate in Secret %s/%s: %w", c.render.Namespace, render.OperatorClient, err)
	}
	return pairOf(secret).load(c.now())
}
