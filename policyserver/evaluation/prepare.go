package evaluation

import (
	"context"
	"errors"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

// servedPolicy is one policy or one group, ready to be asked. It does not change; a new
// revision of the policy is another one. Either guest or group is set.
type servedPolicy struct {
	revision string
	// digest is that of the module, or of those of a group together.
	digest string
	// trust is that of the supply which the modules were proven to come from.
	trust int
	rules Rules
	guest *guest
	group *group
}

// judge is the policy's own verdict. varies becomes true when it may be another one the next
// time, though neither request nor policy changed.
func (p *servedPolicy) judge(ctx context.Context, request Request, varies *bool) (Response, error) {
	if p.group != nil {
		return p.group.judge(ctx, request, varies)
	}
	return p.guest.judge(ctx, request, varies)
}

// guests are those whose modules the policy uses.
func (p *servedPolicy) guests() []*guest {
	if p.group == nil {
		return []*guest{p.guest}
	}
	all := make([]*guest, 0, len(p.group.members))
	for _, member := range p.group.members {
		all = append(all, member)
	}
	return all
}

// acquire counts a user of every module; false means that one of them is closed already.
func (p *servedPolicy) acquire() bool {
	guests := p.guests()
	for i, guest := range guests {
		if guest.module.acquire() {
			continue
		}
		for _, acquired := range guests[:i] {
			acquired.module.release()
		}
		return false
	}
	return true
}

// release ends what acquire or prepare began.
func (p *servedPolicy) release() {
	for _, guest := range p.guests() {
		if guest.module != nil {
			guest.module.release()
		}
	}
}

// prepare makes a policy out of its entry: grants, modules, settings.
func (l *Loader) prepare(ctx context.Context, id string, entry contract.Entry, from supply) (*servedPolicy, error) {
	var served *servedPolicy
	var err error
	if entry.IsGroup() {
		served, err = l.prepareGroup(ctx, id, entry, from)
	} else {
		served, err = l.preparePolicy(ctx, id, entry, from)
	}
	if err != nil {
		return nil, err
	}
	served.rules, served.trust = rulesOf(id, entry), from.trust
	if served.revision, err = contract.Revision(entry, served.digest); err != nil {
		served.release()
		return nil, err
	}
	return served, nil
}

func (l *Loader) preparePolicy(ctx context.Context, id string, entry contract.Entry, from supply) (*servedPolicy, error) {
	asked, err := l.newGuest(id, ownMember(entry))
	if err != nil {
		return nil, err
	}
	asked.isolation = policy.Isolation(entry.InstanceMode)
	if err := l.load(ctx, asked, sourcesOf(entry, from.trust)[0], from.fetcher); err != nil {
		return nil, err
	}
	return &servedPolicy{digest: asked.module.digest, guest: asked}, nil
}

// newGuest is everything of a guest that its entry alone decides: all but the module.
func (l *Loader) newGuest(id string, member contract.Member) (*guest, error) {
	asked := &guest{
		call:    policy.Call{PolicyID: id, Domain: contract.NamespaceOf(id), Settings: settingsOf(member)},
		timeout: l.timeoutOf(member),
	}
	var err error
	asked.call.Capabilities, err = host.NewGrants(member.HostCapabilities, resourcesOf(member))
	if err != nil {
		return nil, &loadError{
			reason:  contract.ReasonInvalidEntry,
			message: "invalid hostCapabilities pattern for policy " + id + ": " + err.Error(),
		}
	}
	return asked, nil
}

// load gives a guest its module, with a user counted, and adapts it.
func (l *Loader) load(ctx context.Context, asked *guest, from source, fetcher Fetcher) (err error) {
	asked.from = from
	if asked.module, err = l.modules.get(ctx, from, fetcher); err != nil {
		return err
	}
	if err = l.adapt(ctx, asked); err != nil {
		asked.module.release()
		asked.module = nil
		return err
	}
	return nil
}

// adapt has the settings of a guest checked by its module, and gives it instances of its own
// where it is to have some.
func (l *Loader) adapt(ctx context.Context, asked *guest) error {
	if err := l.checks.take(ctx); err != nil {
		return err
	}
	defer l.checks.give()
	if err := l.checkSettings(ctx, asked); err != nil {
		return err
	}
	return asked.isolate(ctx)
}

// underEntry is an earlier revision as it serves on while the entry wanted now cannot be
// loaded: its modules and settings, under today's mode, rules and grants. A policy that is
// to monitor, or lost a capability, does so whatever else is wrong with its entry.
func (l *Loader) underEntry(earlier *servedPolicy, entry contract.Entry) *servedPolicy {
	id := earlier.rules.PolicyID
	served := &servedPolicy{revision: earlier.revision, digest: earlier.digest, trust: earlier.trust, rules: rulesOf(id, entry)}
	if earlier.group == nil {
		served.guest = l.underMember(earlier.guest, ownMember(entry))
		return served
	}
	served.group = l.groupUnderEntry(earlier.group, entry)
	return served
}

// underMember is underEntry for one guest. Grants that cannot be read are none.
func (l *Loader) underMember(earlier *guest, member contract.Member) *guest {
	asked, err := l.newGuest(earlier.call.PolicyID, member)
	if err != nil {
		asked = &guest{call: policy.Call{PolicyID: earlier.call.PolicyID, Domain: earlier.call.Domain}, timeout: l.timeoutOf(member)}
	}
	asked.module, asked.from, asked.call.Settings = earlier.module, earlier.from, earlier.call.Settings
	return asked
}

func (l *Loader) checkSettings(ctx context.Context, asked *guest) error {
	started := l.config.Now()
	bounded, cancel := context.WithTimeout(ctx, l.config.SettingsTimeout)
	defer cancel()
	answer, err := asked.module.ValidateSettings(bounded, asked.call)
	var failure *policy.Error
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &failure) && failure.Kind == policy.KindTimeout:
		refused := invalidSettings(&failure.Message)
		refused.slow = true
		return refused
	case errors.As(err, &failure) && failure.Kind == policy.KindGuest:
		return invalidSettings(&failure.Message)
	case err != nil:
		return err
	case !answer.Valid:
		return invalidSettings(answer.Message)
	}
	l.modules.observe(StepSettings, started)
	return nil
}

// noMessage stands for the message of a guest that gives none; upstream's.
const noMessage = "no message"

func invalidSettings(message *string) *loadError {
	text := noMessage
	if message != nil && *message != "" {
		text = *message
	}
	return &loadError{reason: contract.ReasonInvalidSettings, message: "Policy settings are invalid: " + text}
}
