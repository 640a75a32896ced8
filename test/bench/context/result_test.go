//go:build integration

package context

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The figures to hold.
const (
	// maxNamespaces is the 95th percentile of answers about all Namespaces.
	maxNamespaces = 100 * time.Millisecond
	// maxBindings is the mean of answers about all RoleBindings.
	maxBindings = 100 * time.Millisecond
	// maxIdle is the memory of a policy server that keeps all of them and answers nothing, in
	// millions of bytes.
	maxIdle = 200
)

// result is what a run found out.
type result struct {
	Namespaces int `json:"namespaces"`
	Bindings   int `json:"role_bindings"`
	Clients    int `json:"clients"`

	// NamespacesStill and NamespacesChanging are of a policy in Rego: nothing changes, or a
	// Namespace each second.
	NamespacesStill    latencies `json:"namespaces_still"`
	NamespacesChanging latencies `json:"namespaces_changing"`
	// BindingsStill and BindingsChanging are of a policy that lists some fields of all
	// RoleBindings: nothing changes, or a RoleBinding before each request.
	BindingsStill    latencies `json:"role_bindings_still"`
	BindingsChanging latencies `json:"role_bindings_changing"`
	// IdleRSS is the memory of the server that keeps the RoleBindings, in millions of bytes.
	IdleRSS float64 `json:"idle_rss_mb"`
}

// latencies are those of many answers, in milliseconds.
type latencies struct {
	Requests int     `json:"requests"`
	Mean     float64 `json:"mean_ms"`
	P50      float64 `json:"p50_ms"`
	P95      float64 `json:"p95_ms"`
	Most     float64 `json:"most_ms"`
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func newLatencies(all []time.Duration) latencies {
	slices.Sort(all)
	if len(all) == 0 {
		return latencies{}
	}
	var sum time.Duration
	for _, one := range all {
		sum += one
	}
	at := func(percent int) float64 { return milliseconds(all[(len(all)-1)*percent/100]) }
	return latencies{
		Requests: len(all), Mean: milliseconds(sum / time.Duration(len(all))), P50: at(50), P95: at(95), Most: at(100),
	}
}

// check complains about what does not hold.
func (r *result) check() []string {
	var complaints []string
	hold := func(holds bool, format string, arguments ...any) {
		if !holds {
			complaints = append(complaints, fmt.Sprintf(format, arguments...))
		}
	}
	p95 := r.NamespacesStill.P95
	hold(0 < p95 && p95 < milliseconds(maxNamespaces), "%d namespaces listed by a Rego policy at %d clients: p95 is %.1f ms; want less than %v", r.Namespaces, r.Clients, p95, maxNamespaces)
	for name, mean := range map[string]float64{"that do not change": r.BindingsStill.Mean, "after a change": r.BindingsChanging.Mean} {
		hold(0 < mean && mean < milliseconds(maxBindings), "%d RoleBindings %s: the mean is %.1f ms; want less than %v", r.Bindings, name, mean, maxBindings)
	}
	hold(0 < r.IdleRSS && r.IdleRSS < maxIdle, "%d RoleBindings: the idle server has %.0f MB; want less than %d", r.Bindings, r.IdleRSS, maxIdle)
	return complaints
}

// table shows the result.
func (r *result) table() string {
	var text strings.Builder
	line := func(what string, of latencies) {
		fmt.Fprintf(&text, "%-66s p50 %7.1f ms, p95 %7.1f ms, mean %7.1f ms, most %7.1f ms (%d requests)\n", what, of.P50, of.P95, of.Mean, of.Most, of.Requests)
	}
	line(fmt.Sprintf("%d namespaces listed by a Rego policy at %d clients:", r.Namespaces, r.Clients), r.NamespacesStill)
	line("the same while a namespace changes each second:", r.NamespacesChanging)
	line(fmt.Sprintf("%d RoleBindings listed, some fields:", r.Bindings), r.BindingsStill)
	line("the same, each right after a change:", r.BindingsChanging)
	fmt.Fprintf(&text, "%d RoleBindings: idle RSS of the server %.0f MB\n", r.Bindings, r.IdleRSS)
	return text.String()
}
