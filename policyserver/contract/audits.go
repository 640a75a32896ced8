package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
)

// PathAudits is where several policies are asked about one object at once, which upstream's
// policy server does not know. The body is that of PathAudit; the query names the policies,
// MaxAudits at most, each as a ParamPolicy. What is wrong with the body, or a server without
// room, is told as PathAudit tells it. Otherwise the answer is of TypeAudits: one AuditAnswer
// in a line, for each policy, in the order of the question. It ends early where a server does.
const (
	PathAudits  = "/audits"
	ParamPolicy = "policy"
	MaxAudits   = 64
	TypeAudits  = "application/x-ndjson"
)

// AuditsQuery is the path and the query of a question to policies.
func AuditsQuery(policyIDs []string) string {
	return PathAudits + "?" + url.Values{ParamPolicy: policyIDs}.Encode()
}

// AuditAnswer is what PathAudit would have answered for one policy.
type AuditAnswer struct {
	Policy string `json:"policy"`
	// Status is the HTTP status. Where it is 503, RetryAfter says in how many seconds it helps
	// to ask again.
	Status     int `json:"status"`
	RetryAfter int `json:"retryAfter,omitempty"`
	// Revision is the value of HeaderVerdictRevision; "" where there is none.
	Revision string `json:"revision,omitempty"`
	// Body is the body, byte by byte. It is JSON, whatever the status.
	Body json.RawMessage `json:"body"`
}

// EncodeAuditAnswer writes a line.
func EncodeAuditAnswer(answer AuditAnswer) ([]byte, error) {
	line, err := json.Marshal(answer)
	if err != nil {
		return nil, fmt.Errorf("encode the answer of policy %s: %w", answer.Policy, err)
	}
	return append(line, '\n'), nil
}

// DecodeAuditAnswer reads a line, with or without its end.
func DecodeAuditAnswer(line []byte) (AuditAnswer, error) {
	var answer AuditAnswer
	if err := json.Unmarshal(line, &answer); err != nil {
		return AuditAnswer{}, fmt.Errorf("decode the answer of a policy: %w", err)
	}
	if answer.Status == 0 || answer.Body == nil {
		return AuditAnswer{}, errors.New("decode the answer of a policy: it has no status or no body")
	}
	return answer, nil
}
