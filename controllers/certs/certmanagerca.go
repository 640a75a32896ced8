package certs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// The authority of cert-manager's. Another one is made by another Secret in the Certificate:
// cert-manager issues into that with a key of its own, and leaves the Secret before alone. It
// signs once the Issuer names its Secret. So both objects together tell how far that is.

// standing is what the objects of cert-manager's say of the authority.
type standing struct {
	// exists says that there is a Certificate.
	exists bool
	// issued and signer are the Secrets of the authority that was made last, and of the one
	// that signs.
	issued, signer string
	// madeFor and because are the annotations of the Certificate.
	madeFor, because string
	// terms are what it asks for.
	terms render.CertificateTerms
}

// follows says that the authority that was made last does not sign yet.
func (s standing) follows() bool { return s.issued != s.signer }

func (p *certManagerProvider) standing(ctx context.Context, kubewarden *operatorv1alpha1.Kubewarden) (standing, error) {
	first := standing{
		issued: render.CertificateCA, signer: render.CertificateCA, madeFor: kubewarden.Annotations[operatorv1alpha1.AnnotationRekey],
		terms: p.terms.Authority,
	}
	if installed, err := p.installed(ctx); err != nil || !installed {
		return first, err
	}
	certificate, issuer := &certmanagerv1.Certificate{}, &certmanagerv1.Issuer{}
	if exists, err := p.exists(ctx, render.CertificateCA, certificate); err != nil || !exists {
		return first, err
	}
	found := standing{
		exists: true, issued: certificate.Spec.SecretName, signer: certificate.Spec.SecretName,
		madeFor: certificate.Annotations[render.AnnotationMadeFor], because: certificate.Annotations[render.AnnotationMadeBecause],
		terms: render.CertificateTerms{Key: render.KeyTermsOf(certificate.Spec.PrivateKey)},
	}
	if certificate.Spec.Duration != nil {
		found.terms.Duration = certificate.Spec.Duration.Duration
	}
	// Without its issuer nothing is signed, and the authority that was made last may sign first.
	if exists, err := p.exists(ctx, render.IssuerCA, issuer); err != nil || !exists {
		return found, err
	}
	if issuer.Spec.CA != nil {
		found.signer = issuer.Spec.CA.SecretName
	}
	return found, nil
}

func (p *certManagerProvider) exists(ctx context.Context, name string, object client.Object) (bool, error) {
	err := p.client.Get(ctx, client.ObjectKey{Namespace: p.render.Namespace, Name: name}, object)
	if apimeta.IsNoMatchError(err) || client.IgnoreNotFound(err) == nil {
		return err == nil, nil
	}
	return false, fmt.Errorf("read %T %s: %w", object, name, err)
}

func (p *certManagerProvider) objects(kubewarden *operatorv1alpha1.Kubewarden, standing standing) []render.Object {
	return render.CertificateAuthority(render.CertificateAuthorityInput{
		Config: p.render, Installation: render.NewInstallation(kubewarden),
		Issued: standing.issued, Signer: standing.signer, MadeFor: standing.madeFor, MadeBecause: standing.because,
		Terms: standing.terms,
	})
}

func (p *certManagerProvider) authority(ctx context.Context, demand demand) (issued, error) {
	standing, err := p.standing(ctx, demand.kubewarden)
	if err != nil {
		return issued{}, err
	}
	signer, err := p.secret(ctx, standing.signer)
	if err != nil {
		return issued{}, err
	}
	// Of an authority that signs itself, the first is its own certificate. Its key is
	// cert-manager's business.
	signs := Pair{Certificate: firstOf(signer.Data[corev1.TLSCertKey])}
	if standing.follows() && !isAuthority(signs.Certificate) {
		// Somebody deleted the Secret. Nobody would issue it again, and nothing can be signed.
		return p.replaceLost(ctx, demand, standing)
	}
	if due := p.due(demand, standing); due != "" && isAuthority(signs.Certificate) {
		// What a late cache shows must not be written now: it may be what was before.
		return issued{pair: signs, due: due}, nil
	}
	if standing.exists && !isAuthority(signs.Certificate) {
		standing.terms = p.terms.Authority // nothing was issued on the terms before
	}
	objects := p.objects(demand.kubewarden, standing)
	if standing.follows() {
		objects = objects[:2] // nor the issuer, for the same reason
	}
	authority, err := p.ask(ctx, demand.kubewarden, objects...)
	if err != nil {
		return issued{}, err
	}
	if standing.follows() {
		authority.next, authority.awaited = authority.pair.Certificate, !isAuthority(authority.pair.Certificate)
	}
	authority.pair, authority.because = signs, standing.because
	if !standing.follows() && authority.refused == nil {
		err = p.removeFormer(ctx, demand.kubewarden, standing)
	}
	return authority, err
}

// due says why another authority has to take over; empty when none has to. That its life comes
// to its end is cert-manager's business.
func (p *certManagerProvider) due(demand demand, standing standing) string {
	asked, wanted := demand.kubewarden.Annotations[operatorv1alpha1.AnnotationRekey], p.terms.Authority
	switch {
	case !standing.exists || standing.follows():
		return ""
	case asked != "" && asked != standing.madeFor:
		return askedFor(asked)
	case wanted.Key != standing.terms.Key:
		return otherKey(wanted.Key, standing.terms.Key)
	case wanted.Duration != standing.terms.Duration:
		return otherDuration(wanted.Duration, standing.terms.Duration)
	default:
		return ""
	}
}

// replaceLost has the authority that was made last sign at once.
func (p *certManagerProvider) replaceLost(ctx context.Context, demand demand, standing standing) (issued, error) {
	standing.signer = standing.issued
	authority, err := p.ask(ctx, demand.kubewarden, p.objects(demand.kubewarden, standing)...)
	authority.pair.Key, authority.because = nil, standing.because
	return authority, err
}

// prepare has another authority issued, into a Secret that no other one was issued into.
func (p *certManagerProvider) prepare(ctx context.Context, demand demand, because string) error {
	standing, err := p.standing(ctx, demand.kubewarden)
	if err != nil {
		return err
	}
	signer, err := p.secret(ctx, standing.signer)
	if err != nil {
		return err
	}
	standing.madeFor, standing.because = demand.kubewarden.Annotations[operatorv1alpha1.AnnotationRekey], because
	standing.terms = p.terms.Authority
	sum := sha256.Sum256(append(signer.Data[corev1.TLSCertKey], standing.madeFor...))
	standing.issued = render.CertificateCA + "-" + hex.EncodeToString(sum[:4])
	ctrl.LoggerFrom(ctx).Info("Asking for the next certificate authority", "secret", standing.issued, "because", because)
	return p.applier.Apply(ctx, demand.kubewarden, p.objects(demand.kubewarden, standing)[:2]...)
}

// promote has the issuer sign with the authority that was made last.
func (p *certManagerProvider) promote(ctx context.Context, demand demand) error {
	standing, err := p.standing(ctx, demand.kubewarden)
	if err != nil {
		return err
	}
	standing.signer = standing.issued
	ctrl.LoggerFrom(ctx).Info("The next certificate authority signs from now on", "secret", standing.signer)
	return p.applier.Apply(ctx, demand.kubewarden, p.objects(demand.kubewarden, standing)...)
}

// removeFormer deletes the Secrets of authorities that sign no more, keys and all.
func (p *certManagerProvider) removeFormer(ctx context.Context, kubewarden *operatorv1alpha1.Kubewarden, standing standing) error {
	var secrets corev1.SecretList
	if err := p.client.List(ctx, &secrets, client.InNamespace(p.render.Namespace), client.HasLabels{render.LabelInstallation}); err != nil {
		return fmt.Errorf("list Secrets: %w", err)
	}
	for i := range secrets.Items {
		name := secrets.Items[i].Name
		if name == standing.signer || name == standing.issued || !strings.HasPrefix(name, render.CertificateCA) {
			continue
		}
		if err := p.applier.Delete(ctx, kubewarden, p.named(name)); err != nil {
			return err
		}
	}
	return nil
}

func (p *certManagerProvider) withdraw(ctx context.Context, kubewarden *operatorv1alpha1.Kubewarden) error {
	if err := p.remove(ctx, kubewarden, p.objects(kubewarden, standing{})...); err != nil {
		return err
	}
	return p.removeFormer(ctx, kubewarden, standing{})
}

// withdrawFormer deletes a pair that another authority than the one that signs now has signed:
// cert-manager issues another one when the Secret is not there, and for nothing less. What a
// server presents is a copy.
func (p *certManagerProvider) withdrawFormer(ctx context.Context, holder holder, secret *corev1.Secret) error {
	chain, err := parseCertificates(secret.Data[corev1.TLSCertKey])
	if err != nil || len(chain) == 0 {
		return nil //nolint:nilerr // there is nothing to withdraw
	}
	issuer := &certmanagerv1.Issuer{}
	if exists, err := p.exists(ctx, render.IssuerCA, issuer); err != nil || !exists || issuer.Spec.CA == nil {
		return err
	}
	signer, err := p.secret(ctx, issuer.Spec.CA.SecretName)
	if err != nil {
		return err
	}
	if !isAuthority(signer.Data[corev1.TLSCertKey]) {
		return nil
	}
	authority, _ := parseCertificates(signer.Data[corev1.TLSCertKey])
	if chain[0].CheckSignatureFrom(authority[0]) == nil {
		return nil
	}
	ctrl.LoggerFrom(ctx).Info("Having a pair of a former certificate authority issued again", "secret", secret.Name)
	return p.applier.Delete(ctx, holder.owner, p.named(secret.Name))
}
