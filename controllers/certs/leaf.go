package certs

import (
	"fmt"
	"time"
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
// when another authority signed it, and when two thirds of its life are over.
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
	rest := renewal(loaded.Leaf.NotBefore, loaded.Leaf.NotAfter).Sub(state.Now)
	if rest <= 0 {
		return LeafPlan{Step: StepIssue, Because: "two thirds of its life are over"}
	}
	return LeafPlan{Step: StepNone, After: rest}
}

// renewal is when a certificate has to be renewed: when two thirds of its life are over.
func renewal(notBefore, notAfter time.Time) time.Time {
	return notAfter.Add(-notAfter.Sub(notBefore) / 3)
}
