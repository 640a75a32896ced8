package host

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
)

// deniedError is the error of a call that asks for what the policy was not granted.
type deniedError struct {
	// text is for the guest: upstream's sentence, which users know, and then the grant that
	// is missing.
	text string
	// capability is the path of what was called, or the kind that was to be read.
	capability string
}

func (d *deniedError) Error() string { return d.text }

const violation = "Policy has not been granted access to %s. The violation has been reported. %s"

// deniedCapability denies a capability, by its path.
func deniedCapability(path, domain string) *deniedError {
	missing := fmt.Sprintf("Missing grant: '%s' in hostCapabilities of the policy", path)
	if namespace, operation, _ := strings.Cut(path, "/"); !exists(namespace, operation) {
		missing = "There is no such capability"
	} else if domain != "" {
		missing = fmt.Sprintf("Missing grant: '%s' in namespacedPoliciesCapabilities of its PolicyServer", path)
	}
	return &deniedError{fmt.Sprintf(violation, "the '"+path+"' host capability", missing), path}
}

// Scope is where objects are that a policy asks about: in one namespace, or else in all
// of them or in none.
type Scope string

// ScopeCluster is all namespaces, and what is in none.
const ScopeCluster Scope = ""

// CheckRead is the gate of objects: a policy reads the kinds that it was granted, and the
// policy of a namespace reads nothing outside it. The error is for Call to return.
func (r Request) CheckRead(resource Resource, scope Scope) error {
	what := fmt.Sprintf("Kubernetes %s/%s resources", resource.APIVersion, resource.Kind)
	if !r.Grants.AllowsResource(resource) {
		missing := fmt.Sprintf("Missing grant: apiVersion '%s', kind '%s' in contextAwareResources of the policy", resource.APIVersion, resource.Kind)
		return &deniedError{fmt.Sprintf(violation, what, missing), resource.APIVersion + "/" + resource.Kind}
	}
	return r.CheckScope(what, scope)
}

// CheckScope is CheckRead for what is not of a kind: reviews of access, for example. What
// is asked for is named for the guest.
func (r Request) CheckScope(what string, scope Scope) error {
	if r.Domain == "" || scope == Scope(r.Domain) {
		return nil
	}
	asked := "namespace '" + string(scope) + "'"
	if scope == ScopeCluster {
		asked = "the whole cluster"
	}
	missing := fmt.Sprintf("It asked about %s, and as a policy of namespace '%s' may ask about that namespace alone", asked, r.Domain)
	return &deniedError{fmt.Sprintf(violation, what, missing), what}
}

// deny reports a violation and is its error.
func (s *Session) deny(ctx context.Context, denied *deniedError) error {
	s.log(ctx, record{
		level:   slog.LevelError,
		message: "policy called a host capability that it was not granted",
		attributes: []slog.Attr{
			slog.String(KeyPolicy, s.policy.ID),
			slog.String("capability", denied.capability),
			slog.String("allowed_capabilities", s.policy.Grants.String()),
		},
	})
	return denied
}
