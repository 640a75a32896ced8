package certs

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// OwnWebhook is what the operator's own webhooks are served with, where it keeps their
// certificate itself.
type OwnWebhook struct {
	// CABundle is what API servers must trust, in PEM.
	CABundle []byte
	// After is when to look again though nothing happened.
	After time.Duration
}

// SyncOwnWebhook makes the authority and the pair of the operator's own webhooks exist, and
// renews both when two thirds of their life are over. Unlike the authority of policy servers
// this one is replaced at once when it is no good: its webhooks ignore failures, so that a
// moment without trust costs a courtesy and nothing else.
func (c *Certificates) SyncOwnWebhook(ctx context.Context) (OwnWebhook, error) {
	authority, err := c.ownAuthority(ctx)
	if err != nil {
		return OwnWebhook{}, err
	}
	secret, err := c.secret(ctx, render.OwnWebhookPair)
	if err != nil {
		return OwnWebhook{}, err
	}
	leaf := LeafState{
		Now: c.now(), Claim: Claim{DNSName: render.OwnWebhookDNSName(c.render.Namespace)},
		Authority: authority.Certificate, Issued: pairOf(secret),
	}
	if leaf.Issued, err = c.signed(ctx, render.OwnWebhookPair, leaf, authority); err != nil {
		return OwnWebhook{}, err
	}
	pair := render.OwnWebhookSecret(c.render, render.OwnWebhookPair, leaf.Issued.Certificate, leaf.Issued.Key)
	if err := c.applier.Apply(ctx, nil, pair); err != nil {
		return OwnWebhook{}, err
	}
	return OwnWebhook{
		CABundle: authority.Certificate,
		After:    soonest(PlanLeaf(leaf).After, max(lasts(authority, leaf.Now), time.Second)),
	}, nil
}

// ownAuthority returns the authority of the operator's own webhooks. The first is created,
// not applied: of several operators one makes it.
func (c *Certificates) ownAuthority(ctx context.Context) (Pair, error) {
	secret, err := c.secret(ctx, render.OwnWebhookCA)
	if err != nil {
		return Pair{}, err
	}
	if lasts(pairOf(secret), c.now()) <= 0 {
		if secret, err = c.uncachedSecret(ctx, render.OwnWebhookCA); err != nil {
			return Pair{}, err
		}
	}
	authority := pairOf(secret)
	if lasts(authority, c.now()) > 0 {
		return authority, c.applier.Apply(ctx, nil, render.OwnWebhookSecret(c.render, render.OwnWebhookCA, authority.Certificate, authority.Key))
	}
	ctrl.LoggerFrom(ctx).Info("Making the authority of the operator's own webhooks", "secret", render.OwnWebhookCA)
	if authority, err = NewAuthority(render.OwnWebhookCA, c.now()); err != nil {
		return Pair{}, err
	}
	made := render.OwnWebhookSecret(c.render, render.OwnWebhookCA, authority.Certificate, authority.Key)
	if secret.UID != "" {
		return authority, c.applier.Apply(ctx, nil, made)
	}
	if err := c.applier.CreateMissing(ctx, made); err != nil {
		return Pair{}, err
	}
	// Somebody else's may have come first.
	live, err := c.uncachedSecret(ctx, render.OwnWebhookCA)
	return pairOf(live), err
}

// lasts is how long an authority may go on before it has to be renewed; nothing or less when
// it cannot sign.
func lasts(authority Pair, now time.Time) time.Duration {
	loaded, err := readAuthority(authority, now)
	if err != nil {
		return 0
	}
	return renewal(loaded.Leaf, render.DefaultTerms().Authority).Sub(now)
}

// signed returns a good pair for a Secret: the one it holds, or another one where the plan
// says so. The caches may be late, so the API server is asked first.
func (c *Certificates) signed(ctx context.Context, secret string, leaf LeafState, authority Pair) (Pair, error) {
	if PlanLeaf(leaf).Step == StepNone {
		return leaf.Issued, nil
	}
	live, err := c.uncachedSecret(ctx, secret)
	if err != nil {
		return Pair{}, err
	}
	leaf.Issued = pairOf(live)
	plan := PlanLeaf(leaf)
	if plan.Step == StepNone {
		return leaf.Issued, nil
	}
	ctrl.LoggerFrom(ctx).Info("Signing a certificate", "secret", secret, "because", plan.Because)
	return IssueOn(leaf.terms(), authority, leaf.Claim, leaf.Now)
}

// IsOwnWebhookSecret says whether a Secret is one of those that SyncOwnWebhook keeps.
func (c *Certificates) IsOwnWebhookSecret(secret *corev1.Secret) bool {
	return secret.Namespace == c.render.Namespace && (secret.Name == render.OwnWebhookCA || secret.Name == render.OwnWebhookPair)
}
