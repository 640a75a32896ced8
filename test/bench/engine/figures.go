package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/metadata"
	"github.com/kubewarden/kubewarden-operator/test/bench/guests"
)

// Modes of our engine. Reuse without putting the instance back is no mode of a policy
// server: it is measured to know what isolation costs.
const (
	modePristine = "pristine"
	modeFresh    = "fresh"
	modeWarm     = "warm"
	modeUnsafe   = "unsafe"
)

// wasmtimeName is what the other engine is called among those that are asked.
const wasmtimeName = "wasmtime"

// row is a figure of build/bench.json: processor time per request, undisturbed.
type row struct {
	Guest    string  `json:"guest"`
	Payload  string  `json:"payload"`
	Mode     string  `json:"mode"`
	Ours     float64 `json:"ours_us"`
	Wasmtime float64 `json:"wasmtime_us"`
	// Ratio is that of ours to wasmtime's; below 1 ours is faster.
	Ratio float64 `json:"ratio"`
	// Isolation is what pristine takes beyond reuse; only the rows of modeUnsafe have it.
	Isolation *float64 `json:"isolation_us,omitempty"`
}

// size is how large a request is.
type size struct {
	name  string
	bytes int
}

var sizes = []size{{"5KB", 5_000}, {"50KB", 50_000}}

// limits are the most that our part of wasmtime's time may be, with 5 KB.
var limits = map[string]float64{
	"opa-happy": 0.65, "gk-privileged": 0.65, "gk-limits": 0.95, "go-wapc-labels": 0.65,
	"c-echo": 0.95, "as-echo": 0.95, "go-wasi-raw": 0.65,
}

// limitAt50KB holds for every guest: there it is the guest's own work that counts.
const limitAt50KB = 1.15

// What isolation may cost over reuse: the larger of the two.
const (
	isolationMicroseconds = 10.0
	isolationPart         = 0.10
)

// warmUp is after how many made-up requests guests are warm, whether or not they gain by it:
// what a guest does only once is done then. A policy server measures which number is the best.
const warmUp = 1

// modesOf are the modes that a guest has rows for. A command ends with its request, so
// that nothing of it can be used again, and it is never warm.
func modesOf(of guests.Guest) []string {
	if of.Mode == metadata.ModeWASI {
		return []string{modePristine, modeFresh}
	}
	return []string{modePristine, modeFresh, modeWarm, modeUnsafe}
}

// broken says which figures are missing or do not hold.
func broken(rows []row) []string {
	var problems []string
	for _, of := range guests.All() {
		for _, payload := range sizes {
			found := map[string]row{}
			for _, mode := range modesOf(of) {
				at := slices.IndexFunc(rows, func(r row) bool { return r.Guest == of.Name && r.Payload == payload.name && r.Mode == mode })
				if at < 0 {
					problems = append(problems, fmt.Sprintf("%s %s %s: there is no row", of.Name, payload.name, mode))
					continue
				}
				found[mode] = rows[at]
			}
			problems = append(problems, brokenBy(of, payload, found)...)
		}
	}
	return problems
}

// brokenBy looks at the rows of a guest and a payload, by mode.
func brokenBy(of guests.Guest, payload size, rows map[string]row) (problems []string) {
	pristine, measured := rows[modePristine]
	if !measured {
		return nil
	}
	limit := limits[of.Name]
	if payload.name != sizes[0].name {
		limit = limitAt50KB
	}
	if !(pristine.Ratio > 0 && pristine.Ratio <= limit) {
		problems = append(problems, fmt.Sprintf("%s %s: %.2f of wasmtime's time, want at most %.2f", of.Name, payload.name, pristine.Ratio, limit))
	}
	unsafe, measured := rows[modeUnsafe]
	if !measured {
		return problems
	}
	most := max(isolationMicroseconds, isolationPart*unsafe.Ours)
	switch cost := unsafe.Isolation; {
	case cost == nil:
		problems = append(problems, fmt.Sprintf("%s %s: what isolation costs was not measured", of.Name, payload.name))
	case !(*cost <= most):
		problems = append(problems, fmt.Sprintf("%s %s: isolation costs %.1f us, want at most %.1f", of.Name, payload.name, *cost, most))
	}
	return problems
}

// table prints the rows for people.
func table(out io.Writer, rows []row) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "guest\tpayload\tmode\tours us\twasmtime us\tratio\tisolation us\t")
	for _, r := range rows {
		isolation := ""
		if r.Isolation != nil {
			isolation = fmt.Sprintf("%.1f", *r.Isolation)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%.1f\t%.1f\t%.2f\t%s\t\n", r.Guest, r.Payload, r.Mode, r.Ours, r.Wasmtime, r.Ratio, isolation)
	}
	return table.Flush()
}
