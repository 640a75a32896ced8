package main

import (
	"slices"
	"strings"
	"testing"
)

// good is a result of which all holds, also on the reference machine.
func good() *result {
	return &result{
		RPS: 9100, P99: 2.5, Boot: &bootSummary{Cold: 5900, Cached: 290},
		Phases: map[string]phaseSummary{"floor-full": {RPS: 22000}, "floor-half": {P99: 0.8}},
	}
}

func TestFigures(t *testing.T) {
	floor := func(rate, p99 float64) map[string]phaseSummary {
		return map[string]phaseSummary{"floor-full": {RPS: rate}, "floor-half": {P99: p99}}
	}
	for name, tc := range map[string]struct {
		change func(*result)
		want   []string
		told   int // figures of the reference machine that do not hold
	}{
		"all holds":                      {change: func(*result) {}},
		"a machine of half the speed":    {change: func(r *result) { r.RPS, r.Phases = 4400, floor(11000, 0.9) }, told: 1},
		"a busy machine":                 {change: func(r *result) { r.P99, r.Phases = 11, floor(22000, 4) }, told: 1},
		"too slow on any machine":        {change: func(r *result) { r.Phases = floor(24000, 0.8) }, want: []string{"rate, as part of the floor's: 0.379, want at least 0.392"}},
		"the floor was not measured":     {change: func(r *result) { r.Phases = nil }, want: []string{"rate, as part of the floor's: 0, want at least 0.392"}},
		"too late on a quiet machine":    {change: func(r *result) { r.P99 = 3.1 }, want: []string{"p99 at half load, ms, beside the floor's: 3.1, want at most 3"}, told: 1},
		"too late on a busy machine":     {change: func(r *result) { r.P99, r.Phases = 13, floor(22000, 4) }, want: []string{"p99 at half load, ms, beside the floor's: 13, want at most 12"}, told: 1},
		"no latency was measured":        {change: func(r *result) { r.P99 = 0 }, want: []string{"p99 at half load, ms, beside the floor's: 0, want at most 3"}, told: 1},
		"slow to start with nothing":     {change: func(r *result) { r.Boot.Cold = 6001 }, want: []string{"boot cold, ms: 6001, want at most 6000"}},
		"slow to start with all at hand": {change: func(r *result) { r.Boot.Cached = 301 }, want: []string{"boot cached, ms: 301, want at most 300"}},
	} {
		t.Run(name, func(t *testing.T) {
			measured := good()
			tc.change(measured)
			figures := measured.figures()
			if got := unheld(figures); !slices.Equal(got, tc.want) {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
			told := 0
			for _, of := range figures {
				if of.Told && !of.Holds {
					told++
				}
			}
			if told != tc.told {
				t.Errorf("%d figures of the reference machine do not hold, want %d", told, tc.told)
			}
			measured.Figures = figures
			var said strings.Builder
			if err := measured.tell(&said); err != nil || strings.Count(said.String(), "DOES NOT HOLD") != len(tc.want) {
				t.Errorf("%v, told was:\n%s", err, &said)
			}
		})
	}
}
