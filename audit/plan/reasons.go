package plan

import "fmt"

// Reason says why a policy, or a part of its rules, is not audited.
type Reason string

// Why a whole policy is not audited.
const (
	// ReasonBackgroundAuditDisabled: its spec says backgroundAudit: false.
	ReasonBackgroundAuditDisabled Reason = "BackgroundAuditDisabled"
	// ReasonDeleting: it is being deleted.
	ReasonDeleting Reason = "Deleting"
	// ReasonNotActive: it is not active, so its policy server may not know it.
	ReasonNotActive Reason = "NotActive"
	// ReasonInvalid: a selector or match condition is not valid.
	ReasonInvalid Reason = "Invalid"
	// ReasonOperationNotReplayed: no rule has an operation that the audit replays. It is also
	// given for what only such rules match of a policy that has others.
	ReasonOperationNotReplayed Reason = "OperationNotReplayed"
	// ReasonNothingToList: none of its rules matches a kind that can be audited.
	ReasonNothingToList Reason = "NothingToList"
)

// Why a part of a policy's rules is not audited, or a kind that they match.
const (
	// ReasonNotServed: the cluster does not serve the resource.
	ReasonNotServed Reason = "NotServed"
	// ReasonNotDiscovered: the cluster does not say what it serves in a group.
	ReasonNotDiscovered Reason = "NotDiscovered"
	// ReasonSubresource: requests for subresources leave nothing behind to audit.
	ReasonSubresource Reason = "Subresource"
	// ReasonNotListable: the cluster serves the resource but cannot list it.
	ReasonNotListable Reason = "NotListable"
	// ReasonNeverCalled: policies are never asked about the kind.
	ReasonNeverCalled Reason = "NeverCalled"
	// ReasonReports: a report about a report would need a report.
	ReasonReports Reason = "Reports"
	// ReasonVolatile: the kind is named by a wildcard only, and its objects come and go
	// too fast to be worth a report each.
	ReasonVolatile Reason = "Volatile"
	// ReasonOutsideNamespace: the policy is bound to a namespace and the kind lives in none.
	ReasonOutsideNamespace Reason = "OutsideNamespace"
)

// Why a policy is not asked about an object of a kind that its rules match.
const (
	// ReasonIgnoredNamespace: the audit leaves the namespace out.
	ReasonIgnoredNamespace Reason = "IgnoredNamespace"
	// ReasonNotListed: the kind could not be listed to the end, so that there are objects
	// which nobody saw.
	ReasonNotListed Reason = "NotListed"
	// ReasonNamespaceSelector: the labels of its namespace are not selected, or no policy
	// judges anything in the namespace.
	ReasonNamespaceSelector Reason = "NamespaceSelector"
	// ReasonObjectSelector: its labels are not selected.
	ReasonObjectSelector Reason = "ObjectSelector"
	// ReasonMatchCondition: a match condition is false, or it failed and the failure policy
	// is Ignore.
	ReasonMatchCondition Reason = "MatchCondition"
	// ReasonNeverLockOut: no policy is ever asked about it, so that none can lock out the
	// cluster.
	ReasonNeverLockOut Reason = "NeverLockOut"
	// ReasonAuthorizer: a match condition asks for rights that could not be found out.
	ReasonAuthorizer Reason = "Authorizer"
	// ReasonRules: no rule matches the object itself, though one matches its kind.
	ReasonRules Reason = "Rules"
)

// Skip is something that an audit leaves out, and why.
type Skip struct {
	// PolicyID names the policy.
	PolicyID string
	// Reason is one of the constants above.
	Reason Reason
	// Subject is the part of the rules, or the kind, that is left out; "" for the whole
	// policy.
	Subject string
	// Message says more, for a person.
	Message string
}

// String is one line for a person.
func (s Skip) String() string {
	if s.Subject == "" {
		return fmt.Sprintf("%s: %s: %s", s.PolicyID, s.Reason, s.Message)
	}
	return fmt.Sprintf("%s: %s: %s: %s", s.PolicyID, s.Subject, s.Reason, s.Message)
}
