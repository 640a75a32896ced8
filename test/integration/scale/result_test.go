//go:build integration

package scale

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
)

// The phases of an installation's life.
const (
	phaseCreate  = "create"  // all policies are created, and enforced
	phaseRest    = "rest"    // nothing happens
	phaseChange  = "change"  // some policies are changed, one after the other
	phaseRestart = "restart" // a new operator comes to know them all
	phaseDelete  = "delete"  // all policies are deleted
)

var phases = []string{phaseCreate, phaseChange, phaseRestart, phaseDelete}

// result is what a run found out.
type result struct {
	// Limit is how many times the work for a policy of the smallest installation the
	// largest may take.
	Limit float64   `json:"limit"`
	Sizes []figures `json:"sizes"`
}

// figures are those of an installation of one size.
type figures struct {
	Policies int     `json:"policies"`
	Servers  int     `json:"servers"`
	Seconds  float64 `json:"seconds"`
	// Heap is what the operator holds, in bytes, while all policies are enforced.
	Heap   int64            `json:"heapBytes"`
	Phases map[string]phase `json:"phases"`
}

// phase is what was done in a phase, for how many policies, and until the operator was calm.
type phase struct {
	Objects int     `json:"objects"`
	Seconds float64 `json:"seconds"`
	counts
}

// measures are what is compared, for one policy.
var measures = []struct {
	name string
	of   func(phase) int
}{
	{"reconciles", phase.reconciles},
	{"calls", phase.calls},
	{"writes", phase.writes},
}

func (p phase) each(of func(phase) int) float64 { return float64(of(p)) / float64(p.Objects) }

func (f figures) heapOfEach() float64 { return float64(f.Heap) / float64(f.Policies) }

// check complains about work that grows faster than the number of policies.
func (r *result) check() []string {
	small, large := r.Sizes[0], r.Sizes[len(r.Sizes)-1]
	var complaints []string
	for _, name := range phases {
		for _, measure := range measures {
			few, many := small.Phases[name].each(measure.of), large.Phases[name].each(measure.of)
			if many > few*r.Limit {
				complaints = append(complaints, fmt.Sprintf("%s: %.1f %s for each of %d policies, and %.1f for each of %d: more than %.1f times as many",
					name, few, measure.name, small.Policies, many, large.Policies, r.Limit))
			}
		}
	}
	if few, many := small.heapOfEach(), large.heapOfEach(); many > few*r.Limit {
		complaints = append(complaints, fmt.Sprintf("the heap is %.0f bytes for each of %d policies, and %.0f for each of %d", few, small.Policies, many, large.Policies))
	}
	return complaints
}

// table shows the result: everything for one policy, but the heap.
func (r *result) table() string {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, cell func(figures) string) {
		fmt.Fprint(table, name, "\t")
		for _, f := range r.Sizes {
			fmt.Fprint(table, cell(f), "\t")
		}
		fmt.Fprintln(table)
	}
	row("policies x servers", func(f figures) string { return fmt.Sprintf("%dx%d", f.Policies, f.Servers) })
	for _, name := range phases {
		for _, measure := range measures {
			row(name+": "+measure.name+" for a policy", func(f figures) string { return fmt.Sprintf("%.1f", f.Phases[name].each(measure.of)) })
		}
		row(name+": seconds", func(f figures) string { return fmt.Sprintf("%.1f", f.Phases[name].Seconds) })
	}
	row("at rest: writes", func(f figures) string { return fmt.Sprint(f.Phases[phaseRest].writes()) })
	row("heap, MB", func(f figures) string { return fmt.Sprintf("%.1f", float64(f.Heap)/1e6) })
	if err := table.Flush(); err != nil {
		return err.Error()
	}
	return text.String()
}

// write writes the result into a file, unless that has no name.
func (r *result) write(file string) error {
	if file == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the result: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}
