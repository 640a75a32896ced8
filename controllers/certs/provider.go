package certs

import (
	"context"
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
	// pair is empty until it is issued. Of an authority the key is left out.
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

// of returns the provider of that name; nil while none is chosen.
func (c *Certificates) of(name operatorv1alpha1.CertificateProvider) provider {
	switch name {
	case certManager:
		return &certManagerProvider{c}
	case builtIn:
		return &builtInProvider{c}
	default:
		return nil
	}
}

// other is the provider beside the one of that name.
func (c *Certificates) other(name operatorv1alpha1.CertificateProvider) provider {
	if name == certManager {
		return c.of(builtIn)
	}
	return c.of(certManager)
}

// choose decides which provider signs, after asking cert-manager where it may be the one.
func (c *Certificates) choose(ctx context.Context, kubewarden *operatorv1alpha1.Kubewarden) (ChoiceState, Choice, error) {
	state := ChoiceState{
		Now:      c.now(),
		Wanted:   kubewarden.Spec.Certificates.Provider,
		Recorded: kubewarden.Status.CertificateProvider,
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
		if asked, err = c.of(certManager).authority(ctx, demand{kubewarden: kubewarden}); err != nil {
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
