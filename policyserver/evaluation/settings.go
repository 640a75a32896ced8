package evaluation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

// SettingsCheck asks a module whether it can work with settings that nothing is served with
// yet.
type SettingsCheck struct {
	digest string
	call   policy.Call
}

// NewSettingsCheck makes a check by the module of a digest ("sha256:<hex>"). The error names
// the member of the question that is wrong.
func NewSettingsCheck(digest string, question contract.SettingsQuestion) (SettingsCheck, error) {
	member := contract.Member{Settings: question.Settings, ContextAwareResources: question.ContextAwareResources}
	grants, err := host.NewGrants(question.HostCapabilities, resourcesOf(member))
	if err != nil {
		return SettingsCheck{}, fmt.Errorf("hostCapabilities: %w", err)
	}
	return SettingsCheck{digest: digest, call: policy.Call{
		PolicyID: question.PolicyID, Settings: settingsOf(member), Capabilities: grants,
	}}, nil
}

// CheckSettings asks a module that is loaded already; none is ever fetched or compiled for
// it. It takes no longer than an evaluation may. Settings over which the guest fails are
// invalid, as they are when a policy is loaded. Any error is an *Error: KindUnknownModule when
// the module is not loaded, KindUnavailable when the guest took too long.
func (l *Loader) CheckSettings(ctx context.Context, check SettingsCheck) (contract.SettingsAnswer, error) {
	module := l.modules.ofDigest(check.digest)
	if module == nil {
		return contract.SettingsAnswer{}, &Error{KindUnknownModule, errors.New("no module of digest " + check.digest + " is loaded")}
	}
	defer module.release()
	limit := l.config.SettingsTimeout
	if l.config.PolicyTimeout > 0 {
		limit = min(limit, l.config.PolicyTimeout)
	}
	ctx, cancel := within(ctx, limit)
	defer cancel()
	answer, err := module.ValidateSettings(ctx, check.call)
	failure, is := errors.AsType[*policy.Error](err)
	switch {
	case is && failure.Kind == policy.KindGuest:
		return contract.NewSettingsAnswer(false, failure.Message), nil
	case is && failure.Kind == policy.KindTimeout:
		return contract.SettingsAnswer{}, &Error{KindUnavailable, fmt.Errorf("the module did not check the settings within %s", limit.Round(time.Millisecond))}
	case is && failure.Kind == policy.KindUnavailable:
		return contract.SettingsAnswer{}, &Error{KindUnavailable, err}
	case err != nil:
		return contract.SettingsAnswer{}, &Error{KindInternal, err}
	}
	message := ""
	if answer.Message != nil {
		message = *answer.Message
	}
	if !answer.Valid {
		message = cmp.Or(message, noMessage)
	}
	return contract.NewSettingsAnswer(answer.Valid, message), nil
}
