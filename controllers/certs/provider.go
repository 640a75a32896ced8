package certs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// provider issues certificates into Secrets of its own. What becomes of them is the same
// whoever issued: the authority is published, and pairs are copied once they are trusted.
type provider interface {
	// authority asks for the authority of an installation.
	authority(ctx context.Context, demand demand) (issued, error)
	// prepare makes the authority that is to sign next, aside of the one that signs.
	prepare(ctx context.Context, demand demand, because string) error
	// promote has it sign.
	promote(ctx context.Context, demand demand) error
	// pair asks for a pair.
	pair(ctx context.Context, holder holder) (issued, error)
	// withdraw takes back what was asked for as authority, because the other provider is in
	// use. What was signed stays good.
	withdraw(ctx context.Context, kubewarden *operatorv1alpha1.Kubewarden) error
}

// holder is whom a pair is for.
type holder struct {
	// owner is what the pair goes with.
	owner client.Object
	// claim is what the pair proves.
	claim Claim
	// certificate asks cert-manager for the pair. The Secret bears its name, whoever issues.
	certificate *certmanagerv1.Certificate
	// secret renders the Secret that the built-in provider issues into.
	secret func(Pair) *corev1.Secret
}

// serverHolder is a policy server.
func (c *Certificates) serverHolder(server *policiesv1.PolicyServer, installation render.Installation) holder {
	return holder{
		owner:       server,
		claim:       Claim{DNSName: render.DNSName(server.Name, c.render.Namespace)},
		certificate: render.ServingCertificate(c.render, installation, server.Name),
		secret: func(pair Pair) *corev1.Secret {
			return render.IssuedSecret(render.ServingSecretInput{
				Config: c.render, Installation: installation, PolicyServer: server.Name, Certificate: pair.Certificate, Key: pair.Key,
			})
		},
	}
}

// demand is for whom an authority is, and what kept another provider from being chosen.
type demand struct {
	kubewarden *operatorv1alpha1.Kubewarden
	because    Remark
}

// issued is what a provider was asked for, as it is now.
type issued struct {
	// request is how the provider treats it.
	request Request
	// pair is empty until it is issued. Of an authority the key is left out; where several
	// sign, it holds the certificates of all.
	pair Pair
	// next is the certificate of the authority that is to sign after this one, in PEM.
	next []byte
	// awaited says that it was asked for and is not issued yet.
	awaited bool
	// because says why the authority that is to sign next, or else this one, was made.
	because string
	// due says why another authority is needed, and dueIn how long none is.
	due   string
	dueIn time.Duration
	// remark is what users should know of an authority.
	remark Remark
	// plan says when to ask again though nothing happened.
	plan LeafPlan
	// refused is what the API server said against asking.
	refused error
}

// source is who signs: a provider, and the issuer that it asks in the place of an authority of
// the operator's own, where a user named one.
type source struct {
	provider operatorv1alpha1.CertificateProvider
	issuer   operatorv1alpha1.IssuerReference
}

// String is for messages.
func (s source) String() string {
	switch {
	case s.issuer.Name != "":
		return s.issuer.Kind + " " + s.issuer.Name
	case s.provider == certManager:
		return "cert-manager's authority"
	default:
		return "the built-in provider"
	}
}

// recorded is the source that the status of a Kubewarden tells.
func recorded(kubewarden *operatorv1alpha1.Kubewarden) source {
	return source{provider: kubewarden.Status.CertificateProvider, issuer: issuerOr(kubewarden.Status.CertificateIssuer)}
}

// issuerOr is the issuer that a field names, with what the API server defaults; zero for none.
func issuerOr(reference *operatorv1alpha1.IssuerReference) operatorv1alpha1.IssuerReference {
	if reference == nil {
		return operatorv1alpha1.IssuerReference{}
	}
	return operatorv1alpha1.IssuerReference{
		Name: reference.Name, Kind: cmp.Or(reference.Kind, certmanagerv1.IssuerKind),
		Group: cmp.Or(reference.Group, certmanagerv1.SchemeGroupVersion.Group),
	}
}

// of returns the provider for a source, on the terms of a Kubewarden; nil while none is chosen.
func (c *Certificates) of(source source, kubewarden *operatorv1alpha1.Kubewarden) provider {
	terms := render.NewTerms(kubewarden.Spec.Certificates)
	switch {
	case source.provider == certManager && source.issuer.Name != "":
		return &issuerProvider{
			certManagerProvider: certManagerProvider{c, terms}, issuer: source.issuer,
			asked:   kubewarden.Annotations[operatorv1alpha1.AnnotationRekey],
			leaving: issuerOr(kubewarden.Spec.Certificates.IssuerRef) != source.issuer,
		}
	case source.provider == certManager:
		return &certManagerProvider{c, terms}
	case source.provider == builtIn:
		return &builtInProvider{c, terms}
	default:
		return nil
	}
}

// inUse returns the provider that the status of a Kubewarden tells; nil while none is chosen.
func (c *Certificates) inUse(kubewarden *operatorv1alpha1.Kubewarden) provider {
	return c.of(recorded(kubewarden), kubewarden)
}

// withdrawOthers takes back what was asked of any source but the given one.
func (c *Certificates) withdrawOthers(ctx context.Context, kept source, kubewarden *operatorv1alpha1.Kubewarden) error {
	var failures error
	for _, other := range []source{{provider: builtIn}, {provider: certManager}, {provider: certManager, issuer: anyIssuer}} {
		same := other.provider == kept.provider && (other.issuer.Name == "") == (kept.issuer.Name == "")
		if !same {
			failures = errors.Join(failures, c.of(other, kubewarden).withdraw(ctx, kubewarden))
		}
	}
	return failures
}

// choose decides who signs, after asking whom the spec names.
func (c *Certificates) choose(ctx context.Context, kubewarden *operatorv1alpha1.Kubewarden) (ChoiceState, Choice, error) {
	state := ChoiceState{
		Now:            c.now(),
		Wanted:         kubewarden.Spec.Certificates.Provider,
		WantedIssuer:   issuerOr(kubewarden.Spec.Certificates.IssuerRef),
		Recorded:       kubewarden.Status.CertificateProvider,
		RecordedIssuer: issuerOr(kubewarden.Status.CertificateIssuer),
	}
	made, err := c.secret(ctx, render.BuiltInCA)
	if err != nil {
		return state, Choice{}, err
	}
	state.Made = made.UID != ""
	if state.Installed, err = c.installed(ctx); err != nil {
		return state, Choice{}, err
	}
	var asked issued
	if state.asksCertManager() {
		if asked, err = c.of(state.asked(), kubewarden).authority(ctx, demand{kubewarden: kubewarden}); err != nil {
			return state, Choice{}, err
		}
		state.Request, state.Issued = asked.request, isAuthority(asked.pair.Certificate)
	}
	choice := Choose(state)
	if choice.Provider == "" && asked.refused != nil {
		return state, choice, fmt.Errorf("ask cert-manager for an authority: %w", asked.refused)
	}
	return state, choice, nil
}
