package policy

import "github.com/kubewarden/kubewarden-operator/controllers/replicas"

// action is what is done about the webhook of a policy.
type action int

const (
	// actionWithdraw: no webhook may stand.
	actionWithdraw action = iota + 1
	// actionLeave: whatever stands is left as it is.
	actionLeave
	// actionWait: nothing stands, and nothing is written yet.
	actionWait
	// actionKeep: the webhook stays what the generation that it was rendered from asks
	// for, except that it never guards more than the current one wants.
	actionKeep
	// actionWrite: the webhook becomes what the current generation asks for.
	actionWrite
)

// situation is all that the decision about a webhook depends on.
type situation struct {
	// idle: there is no installation, so the operator does nothing.
	idle bool
	// withdraw: the policy, its PolicyServer or the installation is being deleted, the
	// server is absent or wants no replicas, or enforcement is suspended.
	withdraw bool
	// invalid: the spec breaks a rule, so no webhook may be rendered from it.
	invalid bool
	// trusted: there is a CA bundle to put into a webhook.
	trusted bool
	// standing: a webhook of the policy exists.
	standing bool
	// recorded: what the standing webhook was rendered from is known.
	recorded bool
	// sameEntry: the standing webhook was rendered for the entry of policies.yml that is
	// wanted now, so that a change of the spec concerns the webhook alone.
	sameEntry bool
	// unreachable: no replica has been ready for long enough to be known everywhere.
	unreachable bool
	// replicas is how the replicas of the PolicyServer stand to the policy.
	replicas replicas.Policy
}

// decide decides about a webhook; the first line that applies wins.
//
// A webhook is first written when every ready replica serves some revision of the policy
// and one of them can be reached, and never withdrawn because replicas are not ready: that is what failurePolicy is for.
// When the entry in policies.yml changed with the spec, new rules wait until the replicas
// serve the new entry: the old code never judges what it was not written for. Both wait for
// replicas of before that terminate and still answer.
func decide(s situation) action {
	ready, serving, enforcing, lingering := s.replicas.Ready, s.replicas.Serving, s.replicas.Enforcing, s.replicas.Lingering
	switch {
	case s.withdraw:
		return actionWithdraw
	case s.idle:
		return actionLeave
	case !s.trusted:
		return actionLeave
	case s.invalid && s.standing && s.recorded:
		return actionKeep
	case s.invalid:
		return actionLeave
	case !s.standing && ready > 0 && serving == ready && lingering == 0 && !s.unreachable:
		return actionWrite
	case !s.standing:
		return actionWait
	case s.sameEntry:
		return actionWrite
	case ready == 0:
		// Nothing judges anything now, and no replica is there to wait for.
		return actionWrite
	case enforcing == ready && lingering == 0:
		return actionWrite
	case !s.recorded:
		// Not to heal what others changed would be worse than not to wait.
		return actionWrite
	default:
		return actionKeep
	}
}
