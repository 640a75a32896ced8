package evaluation

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

// servedPolicy is one policy, ready to be asked. It does not change; a new revision of
// the policy is another one.
type servedPolicy struct {
	revision string
	module   *sharedModule
	call     policy.Call
	rules    Rules
	// timeout bounds one evaluation; 0 does not.
	timeout time.Duration
}

// prepare makes a policy out of its entry: grants, module, settings.
func (l *Loader) prepare(ctx context.Context, id string, entry contract.Entry, fetcher Fetcher) (*servedPolicy, error) {
	if entry.IsGroup() {
		return nil, &loadError{reason: contract.ReasonNotSupported, message: "policy groups are not supported by this version of the policy server"}
	}
	served, err := l.outline(id, entry)
	if err != nil {
		return nil, err
	}
	if served.module, err = l.modules.get(ctx, sourceOf(entry), fetcher); err != nil {
		return nil, err
	}
	served.revision, err = contract.Revision(entry, served.module.digest)
	if err == nil {
		err = l.checkSettings(ctx, served)
	}
	if err != nil {
		served.module.release()
		return nil, err
	}
	return served, nil
}

// outline is everything of a policy that its entry alone decides.
func (l *Loader) outline(id string, entry contract.Entry) (*servedPolicy, error) {
	grants, err := host.NewGrants(entry.HostCapabilities, resourcesOf(entry))
	if err != nil {
		return nil, &loadError{
			reason:  contract.ReasonInvalidEntry,
			message: "invalid hostCapabilities pattern for policy " + id + ": " + err.Error(),
		}
	}
	served := &servedPolicy{
		call:    policy.Call{PolicyID: id, Settings: settingsOf(entry), Capabilities: grants},
		rules:   Rules{PolicyID: id, Mode: entry.PolicyMode, Message: entry.Message},
		timeout: l.config.PolicyTimeout,
	}
	if served.rules.Mode == "" {
		served.rules.Mode = contract.ModeProtect
	}
	if entry.AllowedToMutate != nil {
		served.rules.AllowedToMutate = *entry.AllowedToMutate
	}
	if entry.TimeoutEvalSeconds != nil {
		served.timeout = time.Duration(*entry.TimeoutEvalSeconds) * time.Second
	}
	return served, nil
}

// underEntry is an earlier revision as it serves on while the entry wanted now cannot be
// loaded: its module and its settings, under today's mode, rules and grants. A policy that
// is to monitor, or lost a capability, does so whatever else is wrong with its entry.
func (l *Loader) underEntry(earlier *servedPolicy, entry contract.Entry) *servedPolicy {
	served, err := l.outline(earlier.rules.PolicyID, entry)
	if err != nil {
		return earlier
	}
	served.module, served.revision = earlier.module, earlier.revision
	served.call.Settings = earlier.call.Settings
	return served
}

func (l *Loader) checkSettings(ctx context.Context, served *servedPolicy) error {
	started := l.config.Now()
	bounded, cancel := context.WithTimeout(ctx, l.config.SettingsTimeout)
	defer cancel()
	answer, err := served.module.ValidateSettings(bounded, served.call)
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

func invalidSettings(message *string) *loadError {
	text := "no message"
	if message != nil && *message != "" {
		text = *message
	}
	return &loadError{reason: contract.ReasonInvalidSettings, message: "Policy settings are invalid: " + text}
}

func sourceOf(entry contract.Entry) source {
	return source{url: entry.Module, pinned: entry.ModuleDigest, refresh: entry.Refresh}
}

func settingsOf(entry contract.Entry) json.RawMessage {
	if absent(entry.Settings) {
		return json.RawMessage("{}")
	}
	return entry.Settings
}

func resourcesOf(entry contract.Entry) []host.Resource {
	resources := make([]host.Resource, 0, len(entry.ContextAwareResources))
	for _, resource := range entry.ContextAwareResources {
		resources = append(resources, host.Resource{APIVersion: resource.APIVersion, Kind: resource.Kind})
	}
	return resources
}
