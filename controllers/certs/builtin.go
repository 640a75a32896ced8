package certs

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// builtInProvider signs with an authority of the operator's own.
type builtInProvider struct {
	*Certificates

	terms render.Terms
}

var _ provider = (*builtInProvider)(nil)

// authority makes the authority where there is none. One that exists is never written over,
// whatever is wrong with it: somebody may have a copy of its key.
func (p *builtInProvider) authority(ctx context.Context, demand demand) (issued, error) {
	secret, err := p.secret(ctx, render.BuiltInCA)
	if err != nil {
		return issued{}, err
	}
	if secret.UID == "" {
		if secret, err = p.make(ctx, demand); err != nil {
			return issued{}, err
		}
	}
	next, err := p.next(ctx, demand, secret)
	if err != nil {
		return issued{}, err
	}
	authority := issued{
		pair: Pair{Certificate: secret.Data[corev1.TLSCertKey]}, next: next.Data[corev1.TLSCertKey],
		because: secret.Annotations[render.AnnotationMadeBecause],
	}
	if len(authority.next) > 0 {
		authority.because = next.Annotations[render.AnnotationMadeBecause]
	} else if err := p.applier.Apply(ctx, demand.kubewarden, render.BuiltInAuthority(p.input(demand, secret))); err != nil {
		// While another one takes over, a late cache must not bring back the one before.
		return issued{}, err
	}
	due := DueState{
		Now: p.now(), Authority: pairOf(secret),
		Asked: demand.kubewarden.Annotations[operatorv1alpha1.AnnotationRekey], MadeFor: secret.Annotations[render.AnnotationMadeFor],
		Terms: p.terms.Authority,
	}
	if authority.due, authority.dueIn, err = Due(due); err != nil {
		return issued{request: unusable(secret, err)}, nil
	}
	reason, message, _ := strings.Cut(secret.Annotations[render.AnnotationChosenBecause], ": ")
	if message != "" {
		authority.remark = Remark{Reason: reason, Message: "the operator's own authority signs certificates, because " + message +
			"; to have cert-manager issue them, set spec.certificates.provider to cert-manager"}
	}
	return authority, nil
}

// make returns the authority that is there once this process, or another one at the same
// moment, has made it. The caches may be late. The owner comes with the metadata.
func (p *builtInProvider) make(ctx context.Context, demand demand) (*corev1.Secret, error) {
	secret, err := p.uncachedSecret(ctx, render.BuiltInCA)
	if err != nil || secret.UID != "" {
		return secret, err
	}
	pair, err := NewAuthorityOn(p.terms.Authority, render.BuiltInCA, p.now())
	if err != nil {
		return nil, err
	}
	input := render.BuiltInAuthorityInput{
		Config: p.render, Installation: render.NewInstallation(demand.kubewarden), Certificate: pair.Certificate, Key: pair.Key,
		MadeFor: demand.kubewarden.Annotations[operatorv1alpha1.AnnotationRekey],
	}
	if demand.because.Message != "" {
		input.Because = demand.because.Reason + ": " + demand.because.Message
	}
	ctrl.LoggerFrom(ctx).Info("Making a certificate authority", "secret", render.BuiltInCA, "because", demand.because.Message)
	if err := p.applier.CreateMissing(ctx, render.BuiltInAuthority(input)); err != nil {
		return nil, err
	}
	return p.uncachedSecret(ctx, render.BuiltInCA)
}

// unusable is what is in the way when an authority cannot sign.
func unusable(secret *corev1.Secret, cause error) Request {
	return Request{
		Reason: operatorv1alpha1.ReasonAuthorityUnusable,
		Obstacle: fmt.Sprintf("Secret %s/%s holds no authority that can sign (%v): restore it, or delete it to have a new one made",
			secret.Namespace, secret.Name, cause),
	}
}

// pair signs a pair where the plan says so.
func (p *builtInProvider) pair(ctx context.Context, holder holder) (issued, error) {
	if err := (&certManagerProvider{p.Certificates, p.terms}).withdrawPair(ctx, holder); err != nil {
		return issued{}, err
	}
	authority, err := p.secret(ctx, render.BuiltInCA)
	if err != nil {
		return issued{}, err
	}
	if authority.UID == "" {
		return issued{request: Request{Name: "the operator's own authority to be made"}}, nil
	}
	secret, err := p.secret(ctx, holder.certificate.Name)
	if err != nil {
		return issued{}, err
	}
	if _, err := readAuthority(pairOf(authority), p.now()); err != nil {
		// What was signed before is still good while nothing new can be signed.
		return issued{request: unusable(authority, err), pair: pairOf(secret)}, nil
	}
	leaf := LeafState{Now: p.now(), Claim: holder.claim, Authority: authority.Data[corev1.TLSCertKey], Issued: pairOf(secret), Terms: p.terms.Leaf}
	if leaf.Issued, err = p.signed(ctx, holder.certificate.Name, leaf, pairOf(authority)); err != nil {
		return issued{}, err
	}
	err = p.applier.Apply(ctx, holder.owner, holder.secret(leaf.Issued))
	return issued{pair: leaf.Issued, plan: PlanLeaf(leaf)}, err
}

func (p *builtInProvider) withdraw(ctx context.Context, kubewarden *operatorv1alpha1.Kubewarden) error {
	return p.applier.Delete(ctx, kubewarden, p.named(render.BuiltInCANext), p.named(render.BuiltInCA))
}
