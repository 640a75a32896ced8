package main

import (
	"slices"
	"testing"
)

func TestMemoryIsFlat(t *testing.T) {
	const mb = 1 << 20
	series := func(values ...int64) []int64 {
		all := make([]int64, 0, 2*len(values))
		for _, value := range values { // two samples of each fifth
			all = append(all, value*mb, value*mb)
		}
		return all
	}
	for name, tc := range map[string]struct {
		samples []int64
		want    bool
	}{
		"always the same":           {series(100, 100, 100, 100, 100), true},
		"grown while warming up":    {series(10, 100, 100, 100, 100), true},
		"a peak in the middle":      {series(100, 100, 400, 100, 100), true},
		"five percent more":         {series(100, 100, 100, 100, 105), true},
		"six percent more":          {series(100, 100, 100, 100, 106), false},
		"six percent less":          {series(100, 100, 100, 100, 94), false},
		"a leak":                    {series(100, 110, 120, 130, 140), false},
		"a last sample left over":   {append(series(100, 100, 100, 100, 100), 100*mb), true},
		"the very last is too much": {append(series(100, 100, 100, 100, 100), 200*mb), false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := summarizeMemory(tc.samples)
			if err != nil || got.Flat != tc.want {
				t.Errorf("got %+v, %v; want flat %t", got, err, tc.want)
			}
			if want := megabytes(slices.Max(tc.samples)); got.Max != want || len(got.Samples) != len(tc.samples) {
				t.Errorf("max %g of %d samples, want %g of %d", got.Max, len(got.Samples), want, len(tc.samples))
			}
		})
	}
	if _, err := summarizeMemory(series(1, 2)); err == nil {
		t.Error("four samples: got no error")
	}
}
