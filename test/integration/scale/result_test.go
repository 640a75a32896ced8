//go:build integration

package scale

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
)

// The phases of an installation's life.
const (
	phaseCreate  = "create"  // all policies are created, and enforced
	phaseChange  = "change"  // some policies are changed, one after the other
	phaseRestart = "restart" // a new operator comes to know them all
	phaseDelete  = "delete"  // all policies are deleted
)

var phases = []string{phaseCreate, phaseChange, phaseRestart, phaseDelete}

// result is what a run found out.
type result struct {
	// Limit is how many times the work for a policy of the first installation the others may
	// take.
	Limit float64 `json:"limit"`
	// RestSeconds is for how long each installation had no reconcile and no write, in the end.
	RestSeconds float64   `json:"restSeconds"`
	Sizes       []figures `json:"sizes"`
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

func (f figures) size() size { return size{f.Policies, f.Servers} }

// check complains about work that grows faster than the number of policies.
func (r *result) check() []string {
	var complaints []string
	for _, other := range r.Sizes[1:] {
		compare := func(what string, of func(figures) float64) {
			few, many := of(r.Sizes[0]), of(other)
			if many > few*r.Limit {
				complaints = append(complaints, fmt.Sprintf("%s for each policy: %.1f of %s, and %.1f of %s, which is more than %.1f times as many",
					what, few, r.Sizes[0].size(), many, other.size(), r.Limit))
			}
		}
		for _, name := range phases {
			for _, measure := range measures {
				compare(name+": "+measure.name, func(f figures) float64 { return f.Phases[name].each(measure.of) })
			}
		}
		compare("heap: bytes", func(f figures) float64 { return float64(f.Heap) / float64(f.Policies) })
	}
	return complaints
}

// table shows the result: everything for one policy, but the heap.
func (r *result) table() string {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	var failure error
	row := func(name string, cell func(figures) string) {
		cells := append(make([]string, 0, 1+len(r.Sizes)), name)
		for _, f := range r.Sizes {
			cells = append(cells, cell(f))
		}
		_, err := fmt.Fprintln(table, strings.Join(cells, "\t")+"\t")
		failure = errors.Join(failure, err)
	}
	row("policies x servers", func(f figures) string { return f.size().String() })
	for _, name := range phases {
		for _, measure := range measures {
			row(name+": "+measure.name+" for a policy", func(f figures) string { return fmt.Sprintf("%.1f", f.Phases[name].each(measure.of)) })
		}
		row(name+": seconds", func(f figures) string { return fmt.Sprintf("%.1f", f.Phases[name].Seconds) })
	}
	row("heap, MB", func(f figures) string { return fmt.Sprintf("%.1f", float64(f.Heap)/1e6) })
	if err := errors.Join(failure, table.Flush()); err != nil {
		return err.Error()
	}
	return text.String()
}
