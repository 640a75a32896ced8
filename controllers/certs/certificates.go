package certs

import (
	"context"
	"errors"
	"fmt"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmetav1 "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/apply"
	"github.com/kubewarden/kubewarden-operator/controllers/optional"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// ErrNotPublished says that there is no authority yet that API servers could trust. The
// Secret kubewarden-ca tells when there is.
var ErrNotPublished = errors.New("no certificate authority is published yet")

// Config is what Certificates works with.
type Config struct {
	// Client reads from the caches of the manager.
	Client client.Client
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
	client  client.Client
	applier *apply.Applier
	render  render.Config
	now     func() time.Time
}

// NewCertificates returns Certificates that work on what the configuration gives them.
func NewCertificates(config Config) *Certificates {
	return &Certificates{
		client:  config.Client,
		applier: config.Applier,
		render:  config.Render,
		now:     config.Now,
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
}

// CABundle is what webhooks must trust, in PEM: the authority that signs and those that
// signed before. It returns ErrNotPublished until there is one.
func (c *Certificates) CABundle(ctx context.Context) ([]byte, error) {
	published, err := c.published(ctx)
	if err != nil {
		return nil, err
	}
	if len(published.Current) == 0 {
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

// request returns how the issuer treats a Certificate.
func (c *Certificates) request(ctx context.Context, name string) (Request, error) {
	certificate := &certmanagerv1.Certificate{}
	key := client.ObjectKey{Namespace: c.render.Namespace, Name: name}
	request := Request{Name: "Certificate " + key.String()}
	if err := c.client.Get(ctx, key, certificate); err != nil {
		if apierrors.IsNotFound(err) || apimeta.IsNoMatchError(err) {
			return request, nil
		}
		return Request{}, fmt.Errorf("read Certificate %s: %w", key, err)
	}
	request.Since = certificate.CreationTimestamp.Time
	for _, condition := range certificate.Status.Conditions {
		if condition.Type != certmanagerv1.CertificateConditionReady || condition.Status == cmmetav1.ConditionTrue {
			continue
		}
		request.Message = condition.Message
		if condition.LastTransitionTime != nil && condition.LastTransitionTime.After(request.Since) {
			request.Since = condition.LastTransitionTime.Time
		}
	}
	return request, nil
}

// adopt makes an issued Secret go with its owner: cert-manager leaves it behind when its
// Certificate goes, private key and all, unless it is told to own it.
func (c *Certificates) adopt(ctx context.Context, owner client.Object, secret *corev1.Secret) error {
	controller := metav1.GetControllerOf(secret)
	if secret.UID == "" || (controller != nil && controller.UID != owner.GetUID()) {
		return nil
	}
	reference := &corev1.Secret{}
	reference.Name, reference.Namespace = secret.Name, secret.Namespace
	return c.applier.Apply(ctx, owner, reference)
}

// installed says whether the cluster serves cert-manager's kinds.
func (c *Certificates) installed(ctx context.Context) (bool, error) {
	for _, definition := range []string{DefinitionIssuers, DefinitionCertificates} {
		if served, err := optional.IsServed(ctx, c.client, definition); err != nil || !served {
			return false, err
		}
	}
	return true, nil
}

// SyncAuthority makes the authority exist, and publishes it once it is issued. The next
// steps are woken by the Secrets of KubewardenForSecret, by what the Kubewarden owns, and
// by the definitions of cert-manager's kinds.
func (c *Certificates) SyncAuthority(ctx context.Context, kubewarden *operatorv1alpha1.Kubewarden) (Progress, error) {
	installed, err := c.installed(ctx)
	if err != nil {
		return Progress{}, err
	}
	if !installed {
		return c.withoutIssuer(ctx)
	}
	installation := render.NewInstallation(kubewarden)
	if err := c.applier.Apply(ctx, kubewarden, render.CertificateAuthority(c.render, installation)...); err != nil {
		return Progress{}, err
	}
	state, err := c.observeAuthority(ctx, kubewarden)
	if err != nil {
		return Progress{}, err
	}
	plan := PlanAuthority(state)
	if plan.Step == StepPublish {
		secret := render.PublishedCA(render.PublishedCAInput{
			Config: c.render, Installation: installation,
			Current: plan.Publish.Current, Old: plan.Publish.Old, ChangedAt: plan.Publish.ChangedAt,
		})
		if err := c.applier.Apply(ctx, kubewarden, secret); err != nil {
			return Progress{}, err
		}
		state.Published = plan.Publish
	}
	return authorityProgress(plan, state.Published), nil
}

// withoutIssuer is the progress where nobody can issue. What is published stays good.
func (c *Certificates) withoutIssuer(ctx context.Context) (Progress, error) {
	published, err := c.published(ctx)
	if err != nil {
		return Progress{}, err
	}
	return Progress{
		Ready:   len(published.Current) > 0,
		Reason:  operatorv1alpha1.ReasonCertManagerNotFound,
		Message: "cert-manager is not installed: the cluster does not know its kinds Issuer and Certificate",
	}, nil
}

func (c *Certificates) observeAuthority(ctx context.Context, kubewarden *operatorv1alpha1.Kubewarden) (AuthorityState, error) {
	request, err := c.request(ctx, render.CertificateCA)
	if err != nil {
		return AuthorityState{}, err
	}
	issued, err := c.secret(ctx, render.CertificateCA)
	if err != nil {
		return AuthorityState{}, err
	}
	if err := c.adopt(ctx, kubewarden, issued); err != nil {
		return AuthorityState{}, err
	}
	published, err := c.published(ctx)
	if err != nil {
		return AuthorityState{}, err
	}
	return AuthorityState{
		Now:     c.now(),
		Request: request,
		// Of an authority that signs itself, this is its own certificate.
		Issued:    issued.Data[corev1.TLSCertKey],
		Published: published,
	}, nil
}

func authorityProgress(plan AuthorityPlan, published Published) Progress {
	progress := Progress{
		Ready:   len(published.Current) > 0,
		Reason:  operatorv1alpha1.ReasonIssued,
		Message: plan.Message,
		After:   plan.After,
	}
	if plan.Step == StepWait {
		progress.Reason = operatorv1alpha1.ReasonWaitingForIssuer
	}
	return progress
}
