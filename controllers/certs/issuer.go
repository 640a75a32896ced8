package certs

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmetav1 "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// The issuer that a user names has an authority of its own, which it may change whenever it
// likes. Whom to trust is read off what it issued: beside each pair cert-manager writes the
// authority that the issuer tells. So the authorities that sign are those of all pairs that it
// has issued, and what another one signed is presented once that one is trusted, as always.

// issuerProvider has cert-manager issue from an issuer that a user named.
type issuerProvider struct {
	certManagerProvider

	issuer operatorv1alpha1.IssuerReference
	// asked is the value by which somebody asks for everything to be issued anew.
	asked string
	// leaving says that the spec names another one by now, which is asked in its place.
	leaving bool
}

var _ provider = (*issuerProvider)(nil)

// anyIssuer stands for whichever issuer was named before.
var anyIssuer = operatorv1alpha1.IssuerReference{Name: "any"}

func (p *issuerProvider) reference() cmmetav1.IssuerReference {
	return cmmetav1.IssuerReference{Name: p.issuer.Name, Kind: p.issuer.Kind, Group: p.issuer.Group}
}

func (p *issuerProvider) requested(certificate *certmanagerv1.Certificate) *certmanagerv1.Certificate {
	requested := render.RequestedFrom(p.reference(), p.terms.Leaf, certificate)
	if p.asked != "" {
		requested.Annotations = map[string]string{render.AnnotationMadeFor: p.asked}
	}
	return requested
}

// authority asks the issuer for a certificate that nobody uses, so that its authority is known
// before a server's certificate is asked of it, and an issuer that does not issue is not used.
func (p *issuerProvider) authority(ctx context.Context, demand demand) (issued, error) {
	var authority issued
	if !p.leaving {
		var err error
		holder := holder{owner: demand.kubewarden, certificate: render.IssuerProbe(p.render, render.NewInstallation(demand.kubewarden))}
		if authority, err = p.pair(ctx, holder); err != nil && authority.refused == nil {
			return issued{}, err
		}
	}
	secrets, err := p.secrets(ctx)
	if err != nil {
		return issued{}, err
	}
	authority.because = p.title() + " signs"
	authority.request.Name += " from " + p.title()
	authority.pair, authority.dueIn = Pair{}, authority.plan.After
	for i := range secrets {
		authority.pair.Certificate = append(authority.pair.Certificate,
			Authorities(secrets[i].Data[corev1.TLSCertKey], secrets[i].Data[cmmetav1.TLSCAKey], p.now())...)
	}
	authority.pair.Certificate = newestFirst(authority.pair.Certificate)
	if len(secrets) > 0 && len(authority.pair.Certificate) == 0 && authority.request.Obstacle == "" {
		authority.request.Reason, authority.request.Obstacle = operatorv1alpha1.ReasonIssuerWithoutAuthority, fmt.Sprintf(
			"%s issues certificates and does not tell which authority signs them: there is no ca.crt in Secret %s/%s that vouches for "+
				"what it issued, and no authority at the end of the chain, so that no webhook can be told whom to trust; "+
				"have it tell its authority, or name another issuer in spec.certificates.issuerRef",
			p.title(), secrets[0].Namespace, secrets[0].Name)
	}
	return authority, nil
}

// title is the issuer, for messages.
func (p *issuerProvider) title() string {
	return fmt.Sprintf("%s %s of %s", p.issuer.Kind, p.issuer.Name, p.issuer.Group)
}

// newestFirst sorts certificates, in PEM, so that their order does not hang on who has which.
func newestFirst(text []byte) []byte {
	certificates, err := parseCertificates(text)
	if err != nil {
		return nil
	}
	slices.SortFunc(certificates, func(a, b *x509.Certificate) int {
		return cmp.Or(b.NotBefore.Compare(a.NotBefore), bytes.Compare(a.Raw, b.Raw))
	})
	return encodeCertificates(certificates)
}

// secrets are those that cert-manager has issued into for this issuer, by its annotations.
func (p *issuerProvider) secrets(ctx context.Context) ([]corev1.Secret, error) {
	var secrets corev1.SecretList
	if err := p.client.List(ctx, &secrets, client.InNamespace(p.render.Namespace), client.HasLabels{render.LabelInstallation}); err != nil {
		return nil, fmt.Errorf("list Secrets: %w", err)
	}
	return slices.DeleteFunc(secrets.Items, func(secret corev1.Secret) bool {
		issuedBy := operatorv1alpha1.IssuerReference{
			Name:  secret.Annotations[certmanagerv1.IssuerNameAnnotationKey],
			Kind:  secret.Annotations[certmanagerv1.IssuerKindAnnotationKey],
			Group: secret.Annotations[certmanagerv1.IssuerGroupAnnotationKey],
		}
		return issuerOr(&issuedBy) != p.issuer
	}), nil
}

// prepare and promote are never planned: the authority of an issuer is its own affair.
func (p *issuerProvider) prepare(context.Context, demand, string) error { return nil }
func (p *issuerProvider) promote(context.Context, demand) error         { return nil }

// pair asks the issuer for a pair, and for another one where the plan says so. cert-manager
// issues another one when the Secret is not there; what a server presents is a copy.
func (p *issuerProvider) pair(ctx context.Context, holder holder) (issued, error) {
	installed, err := p.installed(ctx)
	if err != nil {
		return issued{}, err
	}
	secret, err := p.secret(ctx, holder.certificate.Name)
	if err != nil {
		return issued{}, err
	}
	plan := LeafPlan{}
	if _, before := secret.Annotations[render.AnnotationBuiltIn]; before {
		err = p.applier.Delete(ctx, holder.owner, secret)
	} else if installed {
		if plan, err = p.plan(ctx, holder, secret); plan.Step == StepIssue {
			ctrl.LoggerFrom(ctx).Info("Having a pair issued again", "secret", secret.Name, "because", plan.Because)
			err = p.applier.Delete(ctx, holder.owner, p.named(secret.Name))
		}
	}
	if err != nil {
		return issued{}, err
	}
	pair, err := p.ask(ctx, holder.owner, p.requested(holder.certificate))
	pair.plan = plan
	return pair, errors.Join(err, pair.refused)
}

// plan decides whether a pair has to be issued again though cert-manager sees no reason.
func (p *issuerProvider) plan(ctx context.Context, holder holder, secret *corev1.Secret) (LeafPlan, error) {
	state := ForeignState{
		Now: p.now(), Chain: secret.Data[corev1.TLSCertKey], Asked: p.asked, MadeFor: p.asked,
		Authorities: Authorities(secret.Data[corev1.TLSCertKey], secret.Data[cmmetav1.TLSCAKey], p.now()),
	}
	certificate := &certmanagerv1.Certificate{}
	exists, err := p.exists(ctx, holder.certificate.Name, certificate)
	if err != nil {
		return LeafPlan{}, err
	}
	if exists && certificate.Spec.IssuerRef == p.reference() {
		state.MadeFor = certificate.Annotations[render.AnnotationMadeFor]
	}
	return PlanForeign(state), nil
}

// withdraw takes the question back by which an issuer's authority is known.
func (p *issuerProvider) withdraw(ctx context.Context, kubewarden *operatorv1alpha1.Kubewarden) error {
	probe := render.IssuerProbe(p.render, render.NewInstallation(kubewarden))
	return errors.Join(p.remove(ctx, kubewarden, probe), p.applier.Delete(ctx, kubewarden, p.named(probe.Spec.SecretName)))
}
