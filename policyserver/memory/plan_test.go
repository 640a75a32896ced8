package memory

import (
	"math"
	"testing"
)

func TestPlan(t *testing.T) {
	for name, tc := range map[string]struct{ limit, each, objects int64 }{ // in MiB
		"none":                         {0, 0, 0},
		"tiny":                         {64, 14, 4},
		"half where a reserve is more": {128, 28, 8},
		"least reserve":                {256, 70, 20},
		"a quarter":                    {1024, 336, 96},
		"most reserve":                 {8192, 3360, 960},
	} {
		want := Plan{tc.limit * mebibyte, tc.each * mebibyte, tc.each * mebibyte, tc.objects * mebibyte}
		if got := NewPlan(tc.limit * mebibyte); got != want {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
	if got := NewPlan(-1); got != (Plan{}) {
		t.Errorf("a negative limit: got %+v", got)
	}
}

func TestGoLimit(t *testing.T) {
	for name, tc := range map[string]struct{ limit, outside, want int64 }{
		"nothing outside":      {1000 * mebibyte, 0, 900 * mebibyte},
		"a part is outside":    {1000 * mebibyte, 500 * mebibyte, 450 * mebibyte},
		"hardly anything left": {100 * mebibyte, 90 * mebibyte, leastGoLimit},
		"more than all":        {100 * mebibyte, 200 * mebibyte, leastGoLimit},
		"no limit":             {0, 500 * mebibyte, math.MaxInt64},
	} {
		if got := NewPlan(tc.limit).GoLimit(tc.outside); got != tc.want {
			t.Errorf("%s: got %d, want %d", name, got, tc.want)
		}
	}
}

func TestGCPercent(t *testing.T) {
	for name, tc := range map[string]struct {
		live int64
		want int
	}{
		"before the first collection": {0, 600},
		"a small heap":                {12 * mebibyte, 400},
		"one that is as large":        {48 * mebibyte, 100},
		"a large heap":                {500 * mebibyte, 100},
	} {
		if got := GCPercent(tc.live); got != tc.want {
			t.Errorf("%s: got %d, want %d", name, got, tc.want)
		}
	}
}
