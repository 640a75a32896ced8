package certs

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/apply"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// ErrNotPublished says that there is no authority yet that API servers could trust. The
// Secret kubewarden-ca tells when there is.
var ErrNotPublished = errors.New("no certificate authority is published yet")

// secretOfAuthorities names the published authorities in messages.
const secretOfAuthorities = "Secret " + render.SecretCA

// Config is what Certificates works with.
type Config struct {
	// Client reads from the caches of the manager.
	Client client.Client
	// Uncached reads from the API server, before a key is made that must be the only one.
	Uncached client.Reader
	// Applier writes.
	Applier *apply.Applier
	// Render is what the operator knows of itself.
	Render render.Config
	// Now is the clock.
	Now func() time.Time
}

// Certificates observes the certificates of an installation and takes the next step with
// them. It is safe for concurrent use.
type Certificates struct {
	client   client.Client
	uncached client.Reader
	applier  *apply.Applier
	render   render.Config
	now      func() time.Time
	asked    *questions
}

// NewCertificates returns Certificates that work on what the configuration gives them.
func NewCertificates(config Config) *Certificates {
	return &Certificates{
		client:   config.Client,
		uncached: config.Uncached,
		applier:  config.Applier,
		render:   config.Render,
		now:      config.Now,
		asked:    &questions{},
	}
}

// Progress is how far certificates have come.
type Progress struct {
	// Ready says whether they are in place.
	Ready bool
	// Reason is one of the condition reasons of the API.
	Reason string
	// Message is for users. It is empty when all is well, and may be set though Ready is
	// true: a renewal can be waiting while what it renews is still good.
	Message string
	// After is when to look again though nothing happened; 0 means never.
	After time.Duration
	// Provider is whom to record as the provider of the installation; empty for no change.
	Provider operatorv1alpha1.CertificateProvider
	// Issuer is the issuer to record with it; zero for an authority of the operator's own.
	Issuer operatorv1alpha1.IssuerReference
	// Rekeying tells how another authority takes over; nil while none does.
	Rekeying *operatorv1alpha1.Rekeying
}

// CABundle is what webhooks must trust, in PEM: the authority that signs and those that
// signed before. It returns ErrNotPublished until there is one.
func (c *Certificates) CABundle(ctx context.Context) ([]byte, error) {
	published, err := c.published(ctx)
	if err != nil {
		return nil, err
	}
	if !isAuthority(published.Current) { // nor when somebody has spoiled it
		return nil, ErrNotPublished
	}
	return published.Bundle(), nil
}

func (c *Certificates) published(ctx context.Context) (Published, error) {
	secret, err := c.secret(ctx, render.SecretCA)
	if err != nil {
		return Published{}, err
	}
	published := Published{Current: secret.Data[render.KeyCA], Old: secret.Data[render.KeyOldCA]}
	if changedAt, err := time.Parse(time.RFC3339, secret.Annotations[render.AnnotationCAChangedAt]); err == nil {
		published.ChangedAt = changedAt
	}
	return published, nil
}

// secret returns an empty Secret when there is none.
func (c *Certificates) secret(ctx context.Context, name string) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: c.render.Namespace, Name: name}
	if err := c.client.Get(ctx, key, secret); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read Secret %s: %w", key, err)
	}
	return secret, nil
}

// uncachedSecret is secret by the API server's word.
func (c *Certificates) uncachedSecret(ctx context.Context, name string) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: c.render.Namespace, Name: name}
	if err := c.uncached.Get(ctx, key, secret); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read Secret %s: %w", key, err)
	}
	return secret, nil
}

// named is a Secret of which nothing but the name is known.
func (c *Certificates) named(secret string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: c.render.Namespace, Name: secret}}
}

// SyncAuthority chooses the provider, makes the authority exist, and publishes it once it is
// issued. The next steps are woken by the Secrets of KubewardenForSecret, by what the
// Kubewarden owns, and by the definitions of cert-manager's kinds.
func (c *Certificates) SyncAuthority(ctx context.Context, kubewarden *operatorv1alpha1.Kubewarden) (Progress, error) {
	state, choice, err := c.choose(ctx, kubewarden)
	if err != nil {
		return Progress{}, err
	}
	published, err := c.published(ctx)
	if err != nil {
		return Progress{}, err
	}
	if choice.Provider == "" {
		return Progress{
			Ready: len(published.Current) > 0, Reason: choice.Remark.Reason, Message: choice.Remark.Message, After: choice.After,
		}, nil
	}
	provider, demand := c.of(choice.source(), kubewarden), demand{kubewarden: kubewarden, because: choice.Because}
	authority, err := provider.authority(ctx, demand)
	if err != nil {
		return Progress{}, err
	}
	trusted := published
	if !published.readable() {
		if trusted, err = c.formerlyPublished(ctx, published); err != nil {
			return Progress{}, err
		}
	}
	plan, err := c.planAuthority(ctx, state.Now, authority, trusted)
	if err != nil {
		return Progress{}, err
	}
	switch plan.Step {
	case StepPublish:
		published = plan.Publish
		err = c.publish(ctx, kubewarden, published)
	case StepPrepare:
		err = provider.prepare(ctx, demand, plan.Message)
	case StepPromote:
		err = provider.promote(ctx, demand)
	case StepNone, StepWait, StepHold, StepPresent, StepIssue:
	}
	if err != nil {
		return Progress{}, err
	}
	// What a choice replaces is kept until the choice is recorded.
	changing := state.asksCertManager() && choice.source() != state.asked()
	if recorded(kubewarden) == choice.source() && !changing {
		if err := c.withdrawOthers(ctx, choice.source(), kubewarden); err != nil {
			return Progress{}, err
		}
	}
	return authorityProgress(plan, choice, authority, published), authority.refused
}

// planAuthority observes what the step depends on, and plans it.
func (c *Certificates) planAuthority(ctx context.Context, now time.Time, authority issued, published Published) (AuthorityPlan, error) {
	state := AuthorityState{
		Now: now, Request: authority.request, Issued: authority.pair.Certificate, Next: authority.next,
		Awaited: authority.awaited, Due: authority.due, DueIn: authority.dueIn, Published: published,
	}
	var err error
	if len(state.Next) > 0 {
		if state.Webhooks, err = c.webhooksOf(ctx, ""); err != nil {
			return AuthorityPlan{}, err
		}
	}
	if len(published.Old) > 0 {
		if state.Chains, err = c.chains(ctx); err != nil {
			return AuthorityPlan{}, err
		}
	}
	return PlanAuthority(state), nil
}

func (c *Certificates) publish(ctx context.Context, kubewarden *operatorv1alpha1.Kubewarden, authorities Published) error {
	return c.applier.Apply(ctx, kubewarden, render.PublishedCA(render.PublishedCAInput{
		Config: c.render, Installation: render.NewInstallation(kubewarden),
		Current: authorities.Current, Old: authorities.Old, ChangedAt: authorities.ChangedAt,
	}))
}

// authorityProgress tells of the step that was taken. A provider that has not issued yet is
// not recorded: until then the choice costs nothing to change.
func authorityProgress(plan AuthorityPlan, choice Choice, authority issued, published Published) Progress {
	progress := Progress{
		Ready:    len(published.Current) > 0 && !choice.Blocked,
		Reason:   operatorv1alpha1.ReasonIssued,
		After:    soonest(plan.After, choice.After),
		Provider: choice.Provider,
		Issuer:   choice.Issuer,
	}
	if plan.Step == StepWait {
		progress.Provider = ""
	}
	if plan.Stage > 0 {
		progress.Rekeying = rekeying(plan, authority)
	}
	switch {
	case authority.request.Obstacle != "":
		progress.Reason, progress.Message = authority.request.Reason, authority.request.Obstacle
		if progress.Ready {
			progress.Message += "; what was issued before stays in use until it expires"
		}
	case choice.Remark.Reason != "":
		progress.Reason, progress.Message = choice.Remark.Reason, choice.Remark.Message
	case plan.Step == StepWait:
		progress.Reason, progress.Message = operatorv1alpha1.ReasonWaitingForIssuer, plan.Message
	case plan.Stage > 0:
		progress.Reason, progress.Message = operatorv1alpha1.ReasonRekeying, rekeyingMessage(progress.Rekeying)
	case authority.remark.Reason != "":
		progress.Reason, progress.Message = authority.remark.Reason, authority.remark.Message
	}
	return progress
}

// rekeying tells why another authority takes over, and how far that has come.
func rekeying(plan AuthorityPlan, authority issued) *operatorv1alpha1.Rekeying {
	rekeying := &operatorv1alpha1.Rekeying{Step: int32(plan.Stage), Because: authority.because} //nolint:gosec // it is 4 at most
	switch plan.Step {
	case StepPrepare:
		rekeying.Because = plan.Message
	case StepHold:
		rekeying.WaitingFor = plan.Message
	case StepNone, StepWait, StepPublish, StepPromote, StepPresent, StepIssue:
	}
	return rekeying
}

// rekeyingMessage is the same in words.
func rekeyingMessage(rekeying *operatorv1alpha1.Rekeying) string {
	message := "another authority takes over"
	if rekeying.Because != "" {
		message += " (" + rekeying.Because + ")"
	}
	message += fmt.Sprintf(", step %d of %d", rekeying.Step, operatorv1alpha1.RekeyingSteps)
	if rekeying.WaitingFor != "" {
		message += ": " + rekeying.WaitingFor
	}
	return message
}
