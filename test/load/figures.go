package main

import (
	"fmt"
	"io"
	"math"
	"text/tabwriter"
	"time"

	"github.com/kubewarden/kubewarden-operator/test/bench/floor"
)

// What holds on the reference machine, which has two processors.
const (
	referenceRate  = 9_000                                               // requests/s
	referenceFloor = 2 * float64(time.Second) / float64(floor.Reference) // requests/s
	referenceP99   = 3.                                                  // ms, at half load
	// quietFloorP99 is what the floor's own 99th percentile at that rate stays under, in ms,
	// where nobody else wants the processors.
	quietFloorP99 = 1.
	coldBoot      = 6_000. // ms
	cachedBoot    = 300.   // ms
)

// figure is something that was measured, and its bound.
type figure struct {
	What  string  `json:"what"`
	Value float64 `json:"value"`
	// Least or Most is the bound; the other is 0.
	Least float64 `json:"least,omitempty"`
	Most  float64 `json:"most,omitempty"`
	Holds bool    `json:"holds"`
	// Told says that it is of the reference machine, and fails no run elsewhere.
	Told bool `json:"told,omitempty"`
}

func atLeast(what string, value, least float64) figure {
	return figure{What: what, Value: rounded(value), Least: rounded(least), Holds: value >= least}
}

func atMost(what string, value, most float64) figure {
	return figure{What: what, Value: rounded(value), Most: rounded(most), Holds: value > 0 && value <= most}
}

// only makes a figure one that is told and no more.
func only(told figure) figure {
	told.Told = true
	return told
}

// figures holds a load against what is to hold. On a machine that is slower than the
// reference, or has others to serve, the floor gets slower too.
func (r *result) figures() []figure {
	without := r.Phases["floor-full"].RPS
	ratio := 0.
	if without > 0 {
		ratio = r.RPS / without
	}
	slower := math.Max(1, r.Phases["floor-half"].P99/quietFloorP99)
	return []figure{
		atLeast("rate, as part of the floor's", ratio, referenceRate/referenceFloor),
		atMost("p99 at half load, ms, beside the floor's", r.P99, referenceP99*slower),
		atMost("boot cold, ms", r.Boot.Cold, coldBoot),
		atMost("boot cached, ms", r.Boot.Cached, cachedBoot),
		only(atLeast("rate, requests/s", r.RPS, referenceRate)),
		only(atMost("p99 at half load, ms", r.P99, referenceP99)),
	}
}

// unheld says which figures do not hold that have to.
func unheld(figures []figure) []string {
	var problems []string
	for _, of := range figures {
		if !of.Holds && !of.Told {
			problems = append(problems, fmt.Sprintf("%s: %g, want %s", of.What, of.Value, of.bound()))
		}
	}
	return problems
}

func (f figure) bound() string {
	if f.Least > 0 {
		return fmt.Sprintf("at least %g", f.Least)
	}
	return fmt.Sprintf("at most %g", f.Most)
}

// tell prints what the requests cost, and the figures, for people.
func (r *result) tell(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, name := range []string{"floor-full", "full", "floor-half", "half"} {
		if of := r.Phases[name]; of.ClientCost > 0 {
			fmt.Fprintf(table, "%s\t%.0f/s\tp50 %.2f ms, p99 %.2f ms\tprocessor time of a request: client %.0f us, server %.0f us\n",
				name, of.RPS, of.P50, of.P99, of.ClientCost, of.ServerCost)
		}
	}
	if r.Boot != nil {
		fmt.Fprintf(table, "boot\tcold %.0f ms\tcached %.0f ms\t%.0f\n", r.Boot.Cold, r.Boot.Cached, r.Boot.Each)
	}
	for _, of := range r.Figures {
		says := "holds"
		switch {
		case !of.Holds && of.Told:
			says = "does not hold here; it is of the reference machine"
		case !of.Holds:
			says = "DOES NOT HOLD"
		}
		fmt.Fprintf(table, "%s\t%g\t%s\t%s\n", of.What, of.Value, of.bound(), says)
	}
	return table.Flush()
}
