package certs

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"time"
)

// mounting is how long a Pod may go on to read what a mounted Secret held before: the kubelet
// looks again every minute, and may look into a cache that is a minute old.
const mounting = 2 * time.Minute

// AuthorityState is what is known of the authority.
type AuthorityState struct {
	Now     time.Time
	Request Request
	// Issued are the certificates of the authorities that sign, in PEM: one, unless an issuer
	// of somebody else's has changed its authority since it issued some pair.
	Issued []byte
	// Next is that of the authority that was made to sign after it; empty when there is none.
	Next []byte
	// Awaited says that the issuer was asked for the next one and has not issued it yet.
	Awaited bool
	// Due says why another authority has to take over, and DueIn how long none has to; one of
	// them is zero, or both where nobody knows.
	Due   string
	DueIn time.Duration
	// Published is what API servers were told to trust.
	Published Published
	// Webhooks is whom the webhooks trust.
	Webhooks []Trust
	// Chains is what is presented. It need be known only while there are old authorities.
	Chains []Chain
}

// Published are the authorities that API servers are told to trust, in PEM.
type Published struct {
	// Current are those that sign.
	Current []byte
	// Old are the others: those that signed before, and whose certificates may still be
	// presented, and the one that is to sign next.
	Old []byte
	// ChangedAt is when either last changed.
	ChangedAt time.Time
}

// Bundle is all of it, for a caBundle.
func (p Published) Bundle() []byte { return append(append([]byte{}, p.Current...), p.Old...) }

// readable says whether all of it is as it was written.
func (p Published) readable() bool {
	_, err := parseCertificates(p.Bundle())
	return err == nil && isAuthority(p.Current) && (len(p.Old) == 0 || isAuthority(p.Old))
}

// Recovered is what is known to have been published where that is lost, or spoiled: what webhooks
// trust, and what can still be read. None of it counts as current.
func Recovered(spoiled Published, webhooks []Trust) Published {
	var all []*x509.Certificate
	add := func(text []byte) {
		if certificates, err := parseCertificates(text); err == nil {
			all = append(without(all, certificates...), certificates...)
		}
	}
	add(spoiled.Current)
	add(spoiled.Old)
	for _, trust := range webhooks {
		add(trust.CABundle)
	}
	return Published{Old: encodeCertificates(all)}
}

// Chain is what somebody presents, and to whom the authority that signed it matters.
type Chain struct {
	// Name is for messages: whose chain it is.
	Name string
	// Claim is what the chain proves.
	Claim Claim
	// Certificate is the chain that is to be presented, in PEM; empty when there is none.
	Certificate []byte
	// Since is when it took the place of another one; zero for long ago.
	Since time.Time
	// Behind names those who are not known to present it; empty when all do.
	Behind []string
}

// AuthorityPlan is the next step for the authority.
type AuthorityPlan struct {
	Step Step
	// Stage is how far it has come that another authority takes over: it is being made (1), it
	// is published and waits to be trusted (2), certificates are issued by it (3), and
	// replicas come to present them (4). At rest it is 0.
	Stage int
	// Publish is what to publish with StepPublish.
	Publish Published
	// Message says what is waited for, with StepWait and StepHold, and why another authority
	// is to be made, with StepPrepare.
	Message string
	// After is when to look again though nothing happened; 0 means never.
	After time.Duration
}

// PlanAuthority decides the next step for the authority.
//
// Another authority takes over in steps that can be seen, each of which leaves its result in
// an object: it is made aside (StepPrepare); it is published beside the others (StepPublish);
// once every webhook has trusted it for a while it signs (StepPromote), so that pairs are
// issued anew; once all that is presented is of it, the others are published no more
// (StepPublish again). An authority that took over at once, such as another provider's, is
// published beside the others likewise, and what it signed waits for PlanServer.
func PlanAuthority(state AuthorityState) AuthorityPlan {
	if !isAuthority(state.Issued) {
		message, after := waiting(state.Request, state.Now)
		return AuthorityPlan{Step: StepWait, Message: message, After: after}
	}
	issued, _ := parseCertificates(state.Issued)
	// Who published a bundle that cannot be read trusted nobody.
	before, _ := parseCertificates(state.Published.Bundle())
	old := without(valid(before, state.Now), issued...)
	next := nextAfter(issued[0], state.Next)
	if next != nil {
		old = append([]*x509.Certificate{next}, without(old, next)...)
	}
	stage := 0
	switch {
	case next != nil:
		stage = 2
	case len(old) > 0:
		stage = 3
	}
	wanted := Published{Current: encodeCertificates(issued), Old: encodeCertificates(old), ChangedAt: state.Now}
	switch {
	case !bytes.Equal(wanted.Current, state.Published.Current) || !bytes.Equal(wanted.Old, state.Published.Old):
		return AuthorityPlan{Step: StepPublish, Stage: stage, Publish: wanted}
	case next != nil:
		return takeOver(state, next)
	case state.Due != "":
		return AuthorityPlan{Step: StepPrepare, Stage: 1, Message: state.Due}
	case state.Awaited:
		message, after := waiting(state.Request, state.Now)
		return AuthorityPlan{Step: StepHold, Stage: 1, After: after, Message: message}
	case len(old) == 0:
		return AuthorityPlan{Step: StepNone, After: soonest(untilFirstExpiry(before, state.Now), state.DueIn)}
	}
	if hold := needed(state, wanted.Current); hold.Message != "" {
		hold.Message = "the authority before stays trusted: " + hold.Message
		return hold
	}
	wanted.Old = nil
	return AuthorityPlan{Step: StepPublish, Publish: wanted}
}

// nextAfter is the certificate of the authority that is to sign next; nil when there is none
// or it signs already.
func nextAfter(signer *x509.Certificate, text []byte) *x509.Certificate {
	if !isAuthority(text) {
		return nil
	}
	next, _ := parseCertificates(text)
	if next[0].Equal(signer) {
		return nil
	}
	return next[0]
}

// takeOver has the next authority sign once everybody has trusted it for a while.
func takeOver(state AuthorityState, next *x509.Certificate) AuthorityPlan {
	for _, trust := range state.Webhooks {
		if trusted, err := parseCertificates(trust.CABundle); err != nil || len(without(trusted, next)) == len(trusted) {
			return AuthorityPlan{Step: StepHold, Stage: 2, After: recheck, Message: fmt.Sprintf(
				"the next authority is published: waiting for %s to trust it", trust.Name)}
		}
	}
	published := Trust{Name: secretOfAuthorities, CABundle: state.Published.Bundle(), Since: state.Published.ChangedAt}
	if message, rest := unsettled(append([]Trust{published}, state.Webhooks...), state.Now); rest > 0 {
		return AuthorityPlan{Step: StepHold, Stage: 2, After: rest, Message: "the next authority is published: " + message}
	}
	return AuthorityPlan{Step: StepPromote, Stage: 3}
}

// needed holds while somebody may still present what another authority than the given ones
// signed; it is zero when nobody does.
func needed(state AuthorityState, signers []byte) AuthorityPlan {
	for _, chain := range state.Chains {
		if len(chain.Certificate) == 0 {
			continue
		}
		if err := chain.Claim.trusted(Pair{Certificate: chain.Certificate}, signers, state.Now); err != nil {
			return AuthorityPlan{Step: StepHold, Stage: 3, After: recheck, Message: fmt.Sprintf(
				"waiting for %s to be given a certificate of the authority that signs now", chain.Name)}
		}
	}
	for _, chain := range state.Chains {
		if len(chain.Behind) > 0 {
			return AuthorityPlan{Step: StepHold, Stage: 4, After: recheck, Message: fmt.Sprintf(
				"waiting for %s to present the certificate of %s", some(chain.Behind), chain.Name)}
		}
	}
	for _, chain := range state.Chains {
		if rest := mounting - state.Now.Sub(chain.Since); rest > 0 {
			return AuthorityPlan{Step: StepHold, Stage: 4, After: rest, Message: fmt.Sprintf(
				"waiting until the certificate of %s has been mounted for %s", chain.Name, mounting)}
		}
	}
	return AuthorityPlan{}
}

// some names the first of many.
func some(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return fmt.Sprintf("%s and %d more", names[0], len(names)-1)
}

// unsettled says whom API servers may not have heard of yet, and for how long.
func unsettled(trusts []Trust, now time.Time) (message string, rest time.Duration) {
	for _, trust := range trusts {
		if rest := settling - now.Sub(trust.Since); rest > 0 {
			return fmt.Sprintf("waiting until %s has been trusted for %s", trust.Name, settling), rest
		}
	}
	return "", 0
}
