package scan

import (
	"context"
	"log/slog"
	"sync"

	"github.com/kubewarden/kubewarden-operator/audit/plan"
	"github.com/kubewarden/kubewarden-operator/audit/report"
)

// Summary says what a scan did, and what it left out.
type Summary struct {
	// Objects that were looked at.
	Objects int
	// Results by outcome.
	Results map[report.Outcome]int
	// Kept counts the results that were taken from reports as they were, without asking.
	Kept int
	// Asked counts the questions that were put, by why no earlier result was kept.
	Asked map[Asked]int
	// Unasked counts the questions that are not put about an object, by reason: a question
	// is a policy and an operation on the object. What is left out with a whole namespace, or
	// because the kind cannot be listed, counts once for all objects of the kind that nobody
	// saw.
	Unasked map[plan.Reason]int
	// Reports by what became of them.
	Reports map[report.Written]int
	// Deleted reports: no policy covers their object any more, or its namespace is ignored
	// now, or there is a report of the chosen kind in their place.
	Deleted int
	// Shortened reports lack something that would have made them too large.
	Shortened int
	// Skips are the policies, and parts of their rules, that are not audited.
	Skips []plan.Skip
	// Unlisted are kinds that could not be listed. The reports about them are left as they
	// are.
	Unlisted []Unlisted
}

// Unlisted is a kind that could not be listed, in a namespace or ("") in the cluster.
type Unlisted struct {
	Resource, Namespace, Message string
}

// SkippedByReason counts the policies, and parts of their rules, that are not audited.
func (s Summary) SkippedByReason() map[plan.Reason]int {
	counted := map[plan.Reason]int{}
	for _, skip := range s.Skips {
		counted[skip.Reason]++
	}
	return counted
}

// counts collects a Summary from many goroutines.
type counts struct {
	mu sync.Mutex
	s  Summary
}

func (c *counts) add(change func(*Summary)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.s.Results == nil {
		c.s.Results, c.s.Reports = map[report.Outcome]int{}, map[report.Written]int{}
		c.s.Unasked, c.s.Asked = map[plan.Reason]int{}, map[Asked]int{}
	}
	change(&c.s)
}

func (c *counts) summary(skips []plan.Skip) Summary {
	c.add(func(s *Summary) { s.Skips = skips })
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.s
}

func (s Summary) log(ctx context.Context, log *slog.Logger) {
	log.InfoContext(ctx, "audit scan finished",
		"objects", s.Objects,
		"pass", s.Results[report.OutcomePass],
		"fail", s.Results[report.OutcomeFail],
		"error", s.Results[report.OutcomeError],
		"skip", s.Results[report.OutcomeSkip],
		"kept", s.Kept,
		"askedByReason", s.Asked,
		"created", s.Reports[report.Created],
		"replaced", s.Reports[report.Replaced],
		"unchanged", s.Reports[report.Unchanged],
		"deleted", s.Deleted,
		"shortened", s.Shortened,
		"skipped", len(s.Skips),
		"skippedByReason", s.SkippedByReason(),
		"unaskedByReason", s.Unasked,
		"unlisted", len(s.Unlisted),
	)
}
