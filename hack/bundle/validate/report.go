package validate

import (
	"fmt"
	"strings"
)

// Severity tells what must not be from what should not be. Both are failures.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Finding is something wrong with a bundle.
type Finding struct {
	// Rule is the validator, or the group of our own rules, that found it.
	Rule string
	// Severity is the validator's.
	Severity Severity
	// Message names the object and the field, and what is allowed.
	Message string
}

func (f Finding) String() string { return fmt.Sprintf("%s: %s: %s", f.Rule, f.Severity, f.Message) }

// Report is what was found, and what was found and accepted.
type Report struct {
	// Name is the bundle's, with its version.
	Name string
	// Rules counts the validators and groups of rules that ran.
	Rules int
	// Findings are failures.
	Findings []Finding
	// Accepted are the findings that one of the acceptances explains.
	Accepted []Accepted
}

// Accepted is a finding that stays, and why.
type Accepted struct {
	Finding
	Reason string
}

func (r *Report) String() string {
	var out strings.Builder
	for _, finding := range r.Findings {
		fmt.Fprintf(&out, "%s\n", finding)
	}
	for _, accepted := range r.Accepted {
		fmt.Fprintf(&out, "accepted: %s\n  because %s\n", accepted.Finding, accepted.Reason)
	}
	fmt.Fprintf(&out, "%s: %d validators, %d errors, %d warnings, %d accepted\n", r.Name, r.Rules, r.count(SeverityError), r.count(SeverityWarning), len(r.Accepted))
	return out.String()
}

func (r *Report) count(severity Severity) int {
	count := 0
	for _, finding := range r.Findings {
		if finding.Severity == severity {
			count++
		}
	}
	return count
}
