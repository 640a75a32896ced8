package scan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	operatorv1alpha1 "github.com/kubewarden/kubewarden-operator/api/operator/v1alpha1"
	"github.com/kubewarden/kubewarden-operator/audit/plan"
	"github.com/kubewarden/kubewarden-operator/audit/report"
)

// Outcome is what is told of a scan where its log is not read: in the status of the
// Kubewarden. The problem is what Run returned, and may be nil.
func (s Summary) Outcome(problem error) operatorv1alpha1.AuditSummary {
	outcome := operatorv1alpha1.AuditSummary{
		Objects:   int64(s.Objects),
		Pass:      int64(s.Results[report.OutcomePass]),
		Fail:      int64(s.Results[report.OutcomeFail]),
		Error:     int64(s.Results[report.OutcomeError]),
		Skip:      int64(s.Results[report.OutcomeSkip]),
		Kept:      int64(s.Kept),
		Skipped:   byReason(s.SkippedByReason()),
		Unasked:   byReason(s.Unasked),
		Written:   int64(s.Reports[report.Created] + s.Reports[report.Replaced]),
		Unchanged: int64(s.Reports[report.Unchanged]),
		Deleted:   int64(s.Deleted),
		Shortened: int64(s.Shortened),
	}
	names := s.unlistedResources()
	outcome.UnlistedCount = int64(len(names))
	outcome.Unlisted = names[:min(len(names), operatorv1alpha1.MaxAuditUnlisted)]
	if problem != nil {
		outcome.Problem = shorten(problem.Error(), operatorv1alpha1.MaxAuditProblem)
	}
	return outcome
}

// unlistedResources has each resource once, in order, in however many namespaces it could not
// be listed.
func (s Summary) unlistedResources() []string {
	names := make([]string, 0, len(s.Unlisted))
	for _, unlisted := range s.Unlisted {
		names = append(names, unlisted.Resource)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func byReason(counted map[plan.Reason]int) map[string]int64 {
	if len(counted) == 0 {
		return nil
	}
	named := make(map[string]int64, len(counted))
	for reason, count := range counted {
		named[string(reason)] = int64(count)
	}
	return named
}

// shorten cuts a text to a number of bytes, at a character.
func shorten(text string, limit int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= limit {
		return text
	}
	const ellipsis = " [...]"
	return strings.ToValidUTF8(text[:limit-len(ellipsis)], "") + ellipsis
}

// maxTermination is how much of a termination message Kubernetes keeps, in bytes. One that is
// longer would be cut, and be JSON no more.
const maxTermination = 4096

// minProblem is how much of a problem is always told, in bytes.
const minProblem = 64

// Termination is an outcome as the termination message of a container. Names and the problem
// give way where there is no room for all of it.
func Termination(outcome operatorv1alpha1.AuditSummary) ([]byte, error) {
	for {
		encoded, err := encode(outcome)
		if err != nil {
			return nil, err
		}
		over := len(encoded) - maxTermination
		switch {
		case over <= 0:
			return encoded, nil
		case len(outcome.Unlisted) > 1:
			outcome.Unlisted = outcome.Unlisted[:len(outcome.Unlisted)-1]
		case len(outcome.Problem) > minProblem:
			outcome.Problem = shorten(outcome.Problem, max(minProblem, len(outcome.Problem)/2))
		default:
			return nil, fmt.Errorf("the summary has %d bytes, allowed are %d", len(encoded), maxTermination)
		}
	}
}

// encode is JSON that spares the characters of HTML, which would take six bytes each.
func encode(outcome operatorv1alpha1.AuditSummary) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(outcome); err != nil {
		return nil, fmt.Errorf("encode the summary: %w", err)
	}
	return bytes.TrimSpace(out.Bytes()), nil
}
