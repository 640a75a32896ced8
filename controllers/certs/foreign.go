package certs

import (
	"crypto/x509"
	"fmt"
	"time"
)

// seldom is how long a pair of somebody else's issuer is left alone at least, whatever speaks
// for another one: issuers count what they are asked for.
const seldom = 10 * time.Minute

// ForeignState is what is known of a pair that an issuer of somebody else's has signed. When
// its own life comes to an end is cert-manager's business.
type ForeignState struct {
	Now time.Time
	// Chain is what was issued, in PEM, and Authorities those that vouch for it.
	Chain, Authorities []byte
	// Asked is the value by which somebody asks for another one, and MadeFor what it was when
	// this one was asked for; empty where there was none.
	Asked, MadeFor string
}

// PlanForeign decides whether such a pair has to be issued again: when somebody asks for it,
// and when the authority that vouches for it is about to expire before it. cert-manager's CA
// issuer, for one, signs for longer than its authority lasts.
func PlanForeign(state ForeignState) LeafPlan {
	chain, err := parseCertificates(state.Chain)
	if err != nil || len(chain) == 0 {
		return LeafPlan{Step: StepNone}
	}
	if state.Asked != "" && state.Asked != state.MadeFor {
		return LeafPlan{Step: StepIssue, Because: askedFor(state.Asked)}
	}
	end := vouchedUntil(state.Authorities)
	if end.IsZero() || !end.Before(chain[0].NotAfter) {
		return LeafPlan{Step: StepNone}
	}
	again := end.Add(-end.Sub(chain[0].NotBefore) / 3)
	if earliest := chain[0].NotBefore.Add(seldom); again.Before(earliest) {
		again = earliest
	}
	if rest := again.Sub(state.Now); rest > 0 {
		return LeafPlan{Step: StepNone, After: rest}
	}
	return LeafPlan{Step: StepIssue, Because: fmt.Sprintf("the authority that signed it expires at %s, before it", end.UTC().Format(time.RFC3339))}
}

// vouchedUntil is when the last of the authorities expires; zero when there is none.
func vouchedUntil(authorities []byte) time.Time {
	var end time.Time
	certificates, err := parseCertificates(authorities)
	if err != nil {
		return end
	}
	for _, certificate := range certificates {
		if certificate.NotAfter.After(end) {
			end = certificate.NotAfter
		}
	}
	return end
}

// Authorities are those, in PEM, that vouch for a chain: the ones of what the issuer tells, as
// cert-manager writes it to ca.crt, and where it tells none, the last of the chain. One that
// expired vouches for nothing, and neither does a certificate that signed itself for a server.
func Authorities(chain, told []byte, now time.Time) []byte {
	certificates, err := parseCertificates(chain)
	if err != nil || len(certificates) == 0 {
		return nil
	}
	intermediates := x509.NewCertPool()
	for _, certificate := range certificates[1:] {
		intermediates.AddCert(certificate)
	}
	vouches := func(authority *x509.Certificate) bool {
		roots := x509.NewCertPool()
		roots.AddCert(authority)
		_, err := certificates[0].Verify(x509.VerifyOptions{
			Roots: roots, Intermediates: intermediates, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
		})
		return err == nil && authority.IsCA
	}
	candidates, err := parseCertificates(told)
	if err != nil {
		candidates = nil
	}
	var found []*x509.Certificate
	for _, candidate := range candidates {
		if vouches(candidate) {
			found = append(found, candidate)
		}
	}
	if last := certificates[len(certificates)-1]; len(found) == 0 && vouches(last) {
		found = append(found, last)
	}
	return encodeCertificates(found)
}
