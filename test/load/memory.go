package main

import (
	"fmt"
	"math"
)

// maxGrowth is by which part the memory may differ between an early and the last part of a
// soak and be called flat.
const maxGrowth = 0.05

// memorySummary is what a soak saw of the server's memory.
type memorySummary struct {
	// SecondFifth and LastFifth are means over parts of the time, Max is the highest of all.
	SecondFifth float64 `json:"second_fifth_mb"`
	LastFifth   float64 `json:"last_fifth_mb"`
	Max         float64 `json:"max_mb"`
	// Limit is that of the cgroup; absent without one.
	Limit float64 `json:"limit_mb,omitempty"`
	Flat  bool    `json:"flat"`
	// TooShort says that a fifth of the time is shorter than the policies take to come and go,
	// so that Flat says nothing.
	TooShort bool `json:"too_short,omitempty"`
	// Samples are of each second.
	Samples []float64 `json:"samples_mb"`
}

// summarizeMemory holds the last fifth of samples, in bytes, against the second fifth: the
// first is the time in which the server warms up.
func summarizeMemory(samples []int64) (memorySummary, error) {
	fifth := len(samples) / 5
	if fifth == 0 {
		return memorySummary{}, fmt.Errorf("there are %d samples of the memory; at least 5 are needed", len(samples))
	}
	early, late := mean(samples[fifth:2*fifth]), mean(samples[len(samples)-fifth:])
	summary := memorySummary{
		SecondFifth: megabytes(int64(early)), LastFifth: megabytes(int64(late)),
		Flat: math.Abs(late-early) <= maxGrowth*early,
	}
	for _, sample := range samples {
		summary.Max = max(summary.Max, megabytes(sample))
		summary.Samples = append(summary.Samples, megabytes(sample))
	}
	return summary, nil
}

func mean(of []int64) float64 {
	var sum int64
	for _, value := range of {
		sum += value
	}
	return float64(sum) / float64(len(of))
}
