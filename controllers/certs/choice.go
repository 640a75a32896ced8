package certs

import (
	"fmt"
	"time"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
)

const (
	auto        = operatorv1alpha1.CertificateProviderAuto
	certManager = operatorv1alpha1.CertificateProviderCertManager
	builtIn     = operatorv1alpha1.CertificateProviderBuiltIn
)

// ChoiceState is what the choice of the provider depends on.
type ChoiceState struct {
	Now time.Time
	// Wanted is what the spec asks for; empty is auto.
	Wanted operatorv1alpha1.CertificateProvider
	// WantedIssuer is the issuer that the spec names; zero for an authority of the operator's
	// own.
	WantedIssuer operatorv1alpha1.IssuerReference
	// Recorded is what the status says; empty before the first choice.
	Recorded operatorv1alpha1.CertificateProvider
	// RecordedIssuer is the issuer that the status names.
	RecordedIssuer operatorv1alpha1.IssuerReference
	// Made says whether the built-in authority exists.
	Made bool
	// Installed says whether the cluster serves cert-manager's kinds.
	Installed bool
	// Request is how cert-manager treats the request for an authority, or for a certificate of
	// the wanted issuer, where it was asked.
	Request Request
	// Issued says whether it has issued that, and whom to trust is known.
	Issued bool
}

// Choice is the provider that signs.
type Choice struct {
	// Provider is empty while it cannot be said yet.
	Provider operatorv1alpha1.CertificateProvider
	// Issuer is the issuer that the provider asks; zero for an authority of the operator's own.
	Issuer operatorv1alpha1.IssuerReference
	// Because is what kept cert-manager from being chosen; zero when nothing did.
	Because Remark
	// Remark is what users should know as long as the choice stands like that.
	Remark Remark
	// Blocked says that what the spec asks for does not come about until somebody does
	// something.
	Blocked bool
	// After is when to look again though nothing happened; 0 means never.
	After time.Duration
}

// Remark is a reason of the condition CertificatesReady and the message that goes with it.
type Remark struct{ Reason, Message string }

// current is the provider in use. A choice that could not be recorded shows by the authority
// that was made; what cert-manager issued is then a late answer to a request that is over.
func (s ChoiceState) current() operatorv1alpha1.CertificateProvider {
	if s.Recorded == "" && s.Made {
		return builtIn
	}
	return s.Recorded
}

// auto says whether the provider is ours to choose.
func (s ChoiceState) auto() bool { return s.Wanted == auto || s.Wanted == "" }

// asked is whom the spec names, where cert-manager is asked.
func (s ChoiceState) asked() source { return source{provider: certManager, issuer: s.WantedIssuer} }

// asksCertManager says whether cert-manager is to have an authority for us, or to ask an issuer
// for us.
func (s ChoiceState) asksCertManager() bool {
	if s.WantedIssuer.Name != "" {
		return s.Wanted != builtIn
	}
	if s.auto() {
		return s.Installed && s.current() == "" || s.current() == certManager
	}
	return s.Wanted == certManager
}

// Choose decides which provider signs. With auto that happens once, when the first
// certificate is made; from then on only the spec changes it.
func Choose(state ChoiceState) Choice {
	current := state.current()
	switch {
	case state.Wanted == builtIn:
		return Choice{Provider: builtIn}
	case state.WantedIssuer != state.RecordedIssuer:
		return chooseIssuer(state)
	case state.WantedIssuer.Name != "":
		return Choice{Provider: certManager, Issuer: state.WantedIssuer}
	case state.auto() && current != "":
		return Choice{Provider: current}
	case state.Issued:
		return Choice{Provider: certManager}
	case state.Wanted == certManager && current == builtIn:
		message, after := waiting(state.Request, state.Now)
		return Choice{Provider: builtIn, After: after, Remark: Remark{
			Reason: operatorv1alpha1.ReasonChangingProvider,
			Message: "spec.certificates.provider is cert-manager; until it has issued an authority the built-in provider goes on: " +
				message,
		}}
	case state.Wanted == certManager:
		return Choice{Provider: certManager}
	case !state.Installed:
		return Choice{Provider: builtIn, Because: Remark{
			Reason: operatorv1alpha1.ReasonIssued, Message: "cert-manager is not installed",
		}}
	case state.Request.overdue(state.Now):
		return Choice{Provider: builtIn, Because: Remark{
			Reason: operatorv1alpha1.ReasonCertManagerNotIssuing, Message: silence(state.Request),
		}}
	default:
		message, after := waiting(state.Request, state.Now)
		return Choice{After: after, Remark: Remark{Reason: operatorv1alpha1.ReasonWaitingForIssuer, Message: message}}
	}
}

// chooseIssuer decides whether another issuer signs, or an authority of the operator's own in
// the place of an issuer: once it has issued, so that whom to trust is known.
func chooseIssuer(state ChoiceState) Choice {
	current := state.current()
	switch {
	case state.Issued, current == "":
		return Choice{Provider: certManager, Issuer: state.WantedIssuer}
	default:
		message, after := waiting(state.Request, state.Now)
		choice := Choice{Provider: current, Issuer: state.RecordedIssuer, After: after, Blocked: state.Request.Obstacle != ""}
		choice.Remark = Remark{Reason: operatorv1alpha1.ReasonChangingProvider, Message: fmt.Sprintf(
			"spec.certificates asks for %s; until that has issued, %s goes on: %s",
			state.asked(), source{current, state.RecordedIssuer}, message)}
		if choice.Blocked {
			choice.Remark.Reason = state.Request.Reason
		}
		return choice
	}
}

// source is who signs.
func (c Choice) source() source { return source{c.Provider, c.Issuer} }

// silence tells of an issuer that took too long, in its own words where it has any.
func silence(request Request) string {
	message := fmt.Sprintf("cert-manager is installed but issued nothing within %s", patience)
	if request.Message != "" {
		message += ": " + request.Message
	}
	return message
}
