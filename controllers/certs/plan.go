package certs

import (
	"fmt"
	"time"
)

const (
	// patience is how long an issuer may take before its silence is a problem.
	patience = 60 * time.Second
	// settling is how long API servers are given to act on a changed caBundle before a
	// server presents a certificate that only the changed one vouches for.
	settling = 10 * time.Second
	// recheck is how soon to look again at webhooks that others are about to write.
	recheck = 5 * time.Second
)

// Step is what is to be done next.
type Step string

// The steps. A rotation of the authority's key would come in between as steps of its own.
const (
	// StepNone: everything is as it should be.
	StepNone Step = "None"
	// StepWait: the next move is somebody else's.
	StepWait Step = "Wait"
	// StepPublish: API servers are to trust AuthorityPlan.Current and Old.
	StepPublish Step = "Publish"
	// StepPresent: the issued pair goes into the mounted Secret.
	StepPresent Step = "Present"
	// StepIssue: the built-in provider is to sign a new pair.
	StepIssue Step = "Issue"
)

// Request is what a provider was asked for, and how it is treated.
type Request struct {
	// Name is for messages: who is waited for to do what.
	Name string
	// Since is when the issuer was last asked: when the Certificate was made, or ceased
	// to be ready.
	Since time.Time
	// Message is what the issuer says about it; empty when it says nothing.
	Message string
	// Obstacle is what no patience overcomes, and what to do about it; empty when nothing
	// is in the way.
	Obstacle string
	// Reason is the condition reason that goes with the obstacle.
	Reason string
}

// overdue says whether the issuer has taken too long.
func (r Request) overdue(now time.Time) bool {
	return !r.Since.IsZero() && now.Sub(r.Since) >= patience
}

// AuthorityState is what is known of the authority.
type AuthorityState struct {
	Now     time.Time
	Request Request
	// Issued is the authority's certificate as it was issued, in PEM.
	Issued []byte
	// Published is what API servers were told to trust.
	Published Published
}

// Published are the authorities that API servers are told to trust, in PEM.
type Published struct {
	// Current is the one that signs.
	Current []byte
	// Old are those that signed before, and whose certificates may still be presented.
	Old []byte
	// ChangedAt is when either last changed.
	ChangedAt time.Time
}

// Bundle is all of it, for a caBundle.
func (p Published) Bundle() []byte { return append(append([]byte{}, p.Current...), p.Old...) }

// AuthorityPlan is the next step for the authority.
type AuthorityPlan struct {
	Step Step
	// Publish is what to publish with StepPublish.
	Publish Published
	// Message says what is waited for, with StepWait.
	Message string
	// After is when to look again though nothing happened; 0 means never.
	After time.Duration
}

// PlanAuthority decides the next step for the authority. What was trusted before stays
// trusted beside a new authority as long as it is valid: certificates that it signed are
// presented for some time yet.
func PlanAuthority(state AuthorityState) AuthorityPlan {
	if !isAuthority(state.Issued) {
		message, after := waiting(state.Request, state.Now)
		return AuthorityPlan{Step: StepWait, Message: message, After: after}
	}
	issued, _ := parseCertificates(state.Issued)
	current := encodeCertificates(issued[:1])
	// Who published a bundle that cannot be read trusted nobody.
	before, _ := parseCertificates(state.Published.Bundle())
	old := encodeCertificates(without(valid(before, state.Now), issued[0]))
	if string(current) == string(state.Published.Current) && string(old) == string(state.Published.Old) {
		return AuthorityPlan{Step: StepNone, After: untilFirstExpiry(before, state.Now)}
	}
	return AuthorityPlan{Step: StepPublish, Publish: Published{Current: current, Old: old, ChangedAt: state.Now}}
}

// ServerState is what is known of the pair of a policy server.
type ServerState struct {
	Now     time.Time
	Request Request
	// DNSName is what API servers call the server by.
	DNSName string
	// Issued is the pair as it was issued, and Presented the one in the mounted Secret.
	Issued, Presented Pair
	// Trust is everyone who must trust the issued pair before it is presented.
	Trust []Trust
}

// Pair is a certificate chain and its private key, in PEM. Both are empty when there is none.
type Pair struct{ Certificate, Key []byte }

// Trust is one caBundle.
type Trust struct {
	// Name is for messages.
	Name string
	// CABundle holds the authorities, in PEM.
	CABundle []byte
	// Since is when the caBundle was last written.
	Since time.Time
}

// ServerPlan is the next step for the pair of a policy server.
type ServerPlan struct {
	Step Step
	// Presentable says whether a usable pair is in the mounted Secret, or will be after
	// the step.
	Presentable bool
	// Message says what is waited for, with StepWait.
	Message string
	// After is when to look again though nothing happened; 0 means never.
	After time.Duration
}

// PlanServer decides the next step for the pair of a policy server. Where no usable pair
// is presented yet, there is nothing to lose and the issued one is presented at once;
// else only when everyone has trusted its authority for a while.
func PlanServer(state ServerState) ServerPlan {
	claim := Claim{DNSName: state.DNSName}
	presentable := claim.usable(state.Presented, state.Now) == nil
	if err := claim.usable(state.Issued, state.Now); err != nil {
		message, after := waiting(state.Request, state.Now)
		return ServerPlan{Step: StepWait, Presentable: presentable, Message: message, After: after}
	}
	if state.Issued.equal(state.Presented) {
		return ServerPlan{Step: StepNone, Presentable: true}
	}
	if !presentable {
		return ServerPlan{Step: StepPresent, Presentable: true}
	}
	for _, trust := range state.Trust {
		if err := claim.trusted(state.Issued, trust.CABundle, state.Now); err != nil {
			return ServerPlan{Step: StepWait, Presentable: true, After: recheck, Message: fmt.Sprintf(
				"waiting for %s to trust the authority of the new certificate: %v", trust.Name, err)}
		}
	}
	for _, trust := range state.Trust {
		if rest := settling - state.Now.Sub(trust.Since); rest > 0 {
			return ServerPlan{Step: StepWait, Presentable: true, After: rest, Message: fmt.Sprintf(
				"waiting until %s has been trusted for %s", trust.Name, settling)}
		}
	}
	return ServerPlan{Step: StepPresent, Presentable: true}
}

// waiting says what an issuer is waited for, and what it has to say once it took too long.
func waiting(request Request, now time.Time) (message string, after time.Duration) {
	if request.Obstacle != "" {
		return request.Obstacle, 0
	}
	message = "waiting for " + request.Name
	switch {
	case request.Since.IsZero():
		return message, 0
	case !request.overdue(now):
		return message, patience - now.Sub(request.Since)
	}
	message = fmt.Sprintf("%s, which is not ready after %s", message, patience)
	if request.Message != "" {
		message += ": " + request.Message
	}
	return message, 0
}
