package certs

import (
	"crypto/x509"
	"fmt"
	"time"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// LeafState is what is known of a pair that the built-in provider signs.
type LeafState struct {
	Now time.Time
	// Claim is what the pair is to prove.
	Claim Claim
	// Authority is the certificate of the authority that signs, in PEM.
	Authority []byte
	// Issued is the pair as it was last signed.
	Issued Pair
	// Terms are what it is to be like; zero for what holds where nothing is said.
	Terms render.CertificateTerms
}

// terms are those that hold.
func (s LeafState) terms() render.CertificateTerms {
	if s.Terms == (render.CertificateTerms{}) {
		return render.DefaultTerms().Leaf
	}
	return s.Terms
}

// LeafPlan is the next step with such a pair: StepNone or StepIssue.
type LeafPlan struct {
	Step Step
	// Because says why a pair has to be signed.
	Because string
	// After is when to look again though nothing happened.
	After time.Duration
}

// PlanLeaf decides whether a pair has to be signed: when there is none that proves the claim,
// when another authority signed it, when it is not what the terms say, and when it is time to
// renew it.
func PlanLeaf(state LeafState) LeafPlan {
	if err := state.Claim.usable(state.Issued, state.Now); err != nil {
		return LeafPlan{Step: StepIssue, Because: err.Error()}
	}
	if err := state.Claim.trusted(state.Issued, state.Authority, state.Now); err != nil {
		return LeafPlan{Step: StepIssue, Because: fmt.Sprintf("another authority signed it: %v", err)}
	}
	loaded, err := state.Issued.load(state.Now)
	if err != nil {
		return LeafPlan{Step: StepIssue, Because: err.Error()}
	}
	terms := state.terms()
	if key := keyOf(loaded.Leaf); key != terms.Key {
		return LeafPlan{Step: StepIssue, Because: fmt.Sprintf("its key is %s, and %s is asked for", key, terms.Key)}
	}
	if !lastsAs(loaded.Leaf, terms) && !cutShort(loaded.Leaf, state.Authority, terms) {
		return LeafPlan{Step: StepIssue, Because: fmt.Sprintf("it is valid for %s, and %s is asked for", life(loaded.Leaf), terms.Duration)}
	}
	rest := renewal(loaded.Leaf, terms).Sub(state.Now)
	switch {
	case rest > 0:
		return LeafPlan{Step: StepNone, After: rest}
	case terms.RenewBefore > 0:
		return LeafPlan{Step: StepIssue, Because: fmt.Sprintf("it expires at %s", loaded.Leaf.NotAfter.UTC().Format(time.RFC3339))}
	default:
		return LeafPlan{Step: StepIssue, Because: "two thirds of its life are over"}
	}
}

// life is how long a certificate is valid from beginning to end.
func life(certificate *x509.Certificate) time.Duration {
	return certificate.NotAfter.Sub(certificate.NotBefore)
}

// lastsAs says whether a certificate lasts as long as the terms say. It may have begun somewhat
// earlier than it was issued.
func lastsAs(certificate *x509.Certificate, terms render.CertificateTerms) bool {
	more := life(certificate) - terms.Duration
	return more > -time.Second && more <= backdating+time.Second
}

// cutShort says whether a certificate lasts less long than the terms say because it ends with
// the authority that signed it.
func cutShort(certificate *x509.Certificate, authority []byte, terms render.CertificateTerms) bool {
	signers, err := parseCertificates(authority)
	return err == nil && len(signers) > 0 && certificate.NotAfter.Equal(signers[0].NotAfter) && life(certificate) < terms.Duration
}

// renewal is when a certificate has to be renewed: when two thirds of its life are over, or as
// long before its end as the terms say. One that was cut short is renewed when as much of its
// life is over as would be without: else it would be renewed as soon as it is issued.
func renewal(certificate *x509.Certificate, terms render.CertificateTerms) time.Time {
	ahead := life(certificate) / 3
	if terms.RenewBefore > 0 {
		ahead = terms.RenewBefore
		if share := float64(life(certificate)) / float64(terms.Duration); share < 1 {
			ahead = time.Duration(share * float64(ahead))
		}
	}
	return certificate.NotAfter.Add(-ahead)
}
