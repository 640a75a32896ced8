package evaluation

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/protocol"
)

// Response is the answer to a request, but for its UID. What is absent is left out of the
// answer; the names are those of admission.k8s.io/v1.
type Response struct {
	Allowed bool
	// Patch is a JSON patch (RFC 6902); nil for none.
	Patch []byte
	// Status explains; nil for none.
	Status *Status
	// AuditAnnotations and Warnings are the policy's; nil for none.
	AuditAnnotations map[string]string
	Warnings         []string
	// Revision is the revision of the policy from which, and from the request, the verdict
	// follows, so that an audit need not ask again; "" when it may be another one the next
	// time, and for requests that are no audit's.
	Revision string
}

// The parts of an answer that policies can write themselves.
type (
	// Status is the part of a Kubernetes Status that an answer carries.
	Status = protocol.Status
	// Details are the details of a Status.
	Details = protocol.Details
	// Cause is one cause in a Status.
	Cause = protocol.Cause
)

// Rules are what a policy's entry says about its verdicts.
type Rules struct {
	// PolicyID names the policy in messages.
	PolicyID string
	// Mode is contract.ModeMonitor or, by default, contract.ModeProtect.
	Mode contract.Mode
	// AllowedToMutate lets a patch through.
	AllowedToMutate bool
	// Message replaces the policy's own rejection message; "" leaves it.
	Message string
}

// Upstream's texts, which users and tools look for (crates policy-evaluator and policy-server).
const (
	messageMutationOfNothing = "Incoming object is null, which happens only with DELETE operations, but the policy is attempting a mutation. This is not allowed"
	messageMutationForbidden = "Request rejected by policy %s. The policy attempted to mutate the request, but it is currently configured to not allow mutations."
)

// fromPolicy turns what a policy answered into its own verdict: allowed is accepted, a
// status is there when the policy gave a message or a code, and a mutated object becomes
// the patch that makes it out of object, whether the request was accepted or not. A policy
// that answers as a webhook does has made status and patch itself.
func fromPolicy(answer protocol.ValidationResponse, object json.RawMessage) (Response, error) {
	verdict := Response{
		Allowed:          answer.Accepted,
		Status:           answer.Status,
		AuditAnnotations: answer.AuditAnnotations,
		Warnings:         answer.Warnings,
	}
	if answer.Message != nil || answer.Code != nil {
		verdict.Status = &Status{Message: answer.Message, Code: answer.Code}
	}
	if absent(answer.MutatedObject) && answer.Patch == nil {
		return verdict, nil
	}
	if absent(object) {
		return denial(messageMutationOfNothing), nil
	}
	if answer.Patch != nil {
		verdict.Patch = answer.Patch
		return verdict, nil
	}
	patch, err := diff(object, answer.MutatedObject)
	if err != nil {
		return Response{}, err
	}
	verdict.Patch = patch
	return verdict, nil
}

// respond makes the answer out of a policy's own verdict, in upstream's order: monitor
// mode first, then the mutation rule, then the custom message. An audit gets the verdict
// as it is.
func respond(rules Rules, origin Origin, verdict Response) Response {
	switch {
	case origin == OriginAudit:
		return verdict
	case rules.Mode == contract.ModeMonitor:
		return monitored(verdict)
	default:
		return withMessage(rules.Message, refuseMutation(rules, verdict))
	}
}

// monitored lets a request pass unchanged. Warnings and audit annotations stay: they are
// how a monitoring policy makes itself heard.
func monitored(verdict Response) Response {
	return Response{Allowed: true, AuditAnnotations: verdict.AuditAnnotations, Warnings: verdict.Warnings}
}

func refuseMutation(rules Rules, verdict Response) Response {
	if verdict.Patch == nil || rules.AllowedToMutate {
		return verdict
	}
	refused := denial(fmt.Sprintf(messageMutationForbidden, rules.PolicyID))
	refused.AuditAnnotations, refused.Warnings = verdict.AuditAnnotations, verdict.Warnings
	return refused
}

// withMessage replaces the message of a denial; the policy's own becomes a cause.
func withMessage(message string, verdict Response) Response {
	if verdict.Allowed || message == "" {
		return verdict
	}
	var status Status
	var details Details
	if verdict.Status != nil {
		status = *verdict.Status
	}
	if status.Details != nil {
		details = *status.Details
	}
	own := ""
	if message := verdict.message(); message != nil {
		own = *message
	}
	details.Causes = append(slices.Clone(details.Causes), Cause{Message: &own})
	status.Message, status.Details = &message, &details
	verdict.Status = &status
	return verdict
}

// message is that of the status, or nil.
func (r Response) message() *string {
	if r.Status == nil {
		return nil
	}
	return r.Status.Message
}

// denial is a rejection with a message and nothing else.
func denial(message string) Response { return Response{Status: &Status{Message: &message}} }

// failed is the rejection of a request that could not be judged.
func failed(message string) Response {
	response := denial(message)
	response.Status.Code = new(uint16(http.StatusInternalServerError))
	return response
}
