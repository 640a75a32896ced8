package certs

import (
	"fmt"
	"slices"
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

// The steps.
const (
	// StepNone: everything is as it should be.
	StepNone Step = "None"
	// StepWait: the next move is somebody else's.
	StepWait Step = "Wait"
	// StepHold: something is under way that others have to do their part in.
	StepHold Step = "Hold"
	// StepPublish: API servers are to trust AuthorityPlan.Publish.
	StepPublish Step = "Publish"
	// StepPrepare: another authority is to be made, aside of the one that signs.
	StepPrepare Step = "Prepare"
	// StepPromote: the authority that was made aside is to sign from now on.
	StepPromote Step = "Promote"
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

// ServerState is what is known of the pair of a policy server.
type ServerState struct {
	Now     time.Time
	Request Request
	// DNSName is what API servers call the server by.
	DNSName string
	// Issued is the pair as it was issued, and Presented the one in the mounted Secret.
	Issued, Presented Pair
	// PresentedAt is since when, RFC 3339; empty where nobody knows. The plan does not ask.
	PresentedAt string
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

// PlanServer decides the next step for the pair of a policy server. It is presented when
// everyone has trusted its authority for a while. Where no usable pair is presented, the issued
// one is as soon as its authority is published, since a webhook that is made now trusts what is
// published now. Webhooks that are there are waited for all the same: a replica that runs may
// still have the pair that was there before, and one that presents what nobody trusts is of no
// more use than one that presents nothing.
func PlanServer(state ServerState) ServerPlan {
	claim := Claim{DNSName: state.DNSName}
	pair := pairState{claim: claim, request: state.Request, issued: state.Issued, presented: state.Presented, now: state.Now}
	if plan, done := pair.plan(); done {
		return plan
	}
	presentable := pair.presentable()
	for _, trust := range state.Trust {
		if err := claim.trusted(state.Issued, trust.CABundle, state.Now); err != nil {
			return ServerPlan{Step: StepWait, Presentable: presentable, After: recheck, Message: fmt.Sprintf(
				"waiting for %s to trust the authority of the new certificate: %v", trust.Name, err)}
		}
	}
	trusts := state.Trust
	if !presentable {
		trusts = slices.DeleteFunc(slices.Clone(trusts), func(trust Trust) bool { return trust.Name == secretOfAuthorities })
	}
	if message, rest := unsettled(trusts, state.Now); rest > 0 {
		return ServerPlan{Step: StepWait, Presentable: presentable, After: rest, Message: message}
	}
	return ServerPlan{Step: StepPresent, Presentable: true}
}

// pairState is what matters of a pair, whoever presents it to whom.
type pairState struct {
	claim             Claim
	request           Request
	issued, presented Pair
	now               time.Time
}

// plan is the next step where nobody's trust matters; done is false where it does.
func (s pairState) plan() (plan ServerPlan, done bool) {
	if err := s.claim.usable(s.issued, s.now); err != nil {
		message, after := waiting(s.request, s.now)
		return ServerPlan{Step: StepWait, Presentable: s.presentable(), Message: message, After: after}, true
	}
	return ServerPlan{Step: StepNone, Presentable: true}, s.issued.equal(s.presented)
}

// presentable says whether a usable pair is presented.
func (s pairState) presentable() bool { return s.claim.usable(s.presented, s.now) == nil }

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
