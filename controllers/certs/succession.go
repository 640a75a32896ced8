package certs

import (
	"bytes"
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// How one authority of the built-in provider follows another: the next one is made in a
// Secret of its own, and copied into that of the authority when it is to sign.

// input renders an authority as it is.
func (p *builtInProvider) input(demand demand, secret *corev1.Secret) render.BuiltInAuthorityInput {
	return render.BuiltInAuthorityInput{
		Config: p.render, Installation: render.NewInstallation(demand.kubewarden),
		Certificate: secret.Data[corev1.TLSCertKey], Key: secret.Data[corev1.TLSPrivateKeyKey],
		Because:     secret.Annotations[render.AnnotationChosenBecause],
		MadeFor:     secret.Annotations[render.AnnotationMadeFor],
		MadeBecause: secret.Annotations[render.AnnotationMadeBecause],
	}
}

// next returns the authority that is to sign next; an empty Secret when there is none. One that
// signs already is done with, and one that cannot sign is no good: both go.
func (p *builtInProvider) next(ctx context.Context, demand demand, signer *corev1.Secret) (*corev1.Secret, error) {
	secret, err := p.secret(ctx, render.BuiltInCANext)
	if err != nil || secret.UID == "" {
		return secret, err
	}
	signs := bytes.Equal(secret.Data[corev1.TLSCertKey], signer.Data[corev1.TLSCertKey])
	if _, err := readAuthority(pairOf(secret), p.now()); err != nil || signs {
		return &corev1.Secret{}, p.applier.Delete(ctx, demand.kubewarden, secret)
	}
	// The owner comes with an apply: it was created without one.
	return secret, p.applier.Apply(ctx, demand.kubewarden, render.BuiltInAuthorityNext(p.input(demand, secret)))
}

// prepare creates the next authority: of several operators one makes it. The caches may be
// late, so the API server is asked whether another one is needed still.
func (p *builtInProvider) prepare(ctx context.Context, demand demand, because string) error {
	signer, err := p.uncachedSecret(ctx, render.BuiltInCA)
	if err != nil {
		return err
	}
	asked := demand.kubewarden.Annotations[operatorv1alpha1.AnnotationRekey]
	due, _, err := Due(DueState{
		Now: p.now(), Authority: pairOf(signer), Asked: asked, MadeFor: signer.Annotations[render.AnnotationMadeFor],
		Terms: p.terms.Authority,
	})
	if err != nil || due == "" {
		return err
	}
	pair, err := NewAuthorityOn(p.terms.Authority, render.BuiltInCA, p.now())
	if err != nil {
		return err
	}
	input := p.input(demand, signer)
	input.Certificate, input.Key = pair.Certificate, pair.Key
	input.MadeFor, input.MadeBecause = asked, because
	ctrl.LoggerFrom(ctx).Info("Making the next certificate authority", "secret", render.BuiltInCANext, "because", because)
	return p.applier.CreateMissing(ctx, render.BuiltInAuthorityNext(input))
}

// promote copies the next authority over the one that signs.
func (p *builtInProvider) promote(ctx context.Context, demand demand) error {
	next, err := p.uncachedSecret(ctx, render.BuiltInCANext)
	if err != nil || next.UID == "" {
		return err
	}
	if _, err := readAuthority(pairOf(next), p.now()); err != nil {
		return fmt.Errorf("read the next authority: %w", err)
	}
	ctrl.LoggerFrom(ctx).Info("The next certificate authority signs from now on", "secret", render.BuiltInCA)
	return p.applier.Apply(ctx, demand.kubewarden, render.BuiltInAuthority(p.input(demand, next)))
}
