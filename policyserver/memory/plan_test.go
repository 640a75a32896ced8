package memory

import (
	"math"
	"testing"
)

func TestPlan(t *testing.T) {
	for name, tc := range map[string]struct{ limit, each int64 }{ // in MiB
		"none":                         {0, 0},
		"tiny":                         {64, 16},
		"half where a reserve is more": {128, 32},
		"least reserve":                {256, 80},
		"a quarter":                    {1024, 384},
		"most reserve":                 {8192, 3840},
	} {
		want := Plan{tc.limit * mebibyte, tc.each * mebibyte, tc.each * mebibyte}
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
