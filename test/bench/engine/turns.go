package main

import (
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// subject is something that answers a request again and again.
type subject struct {
	name string
	ask  func() error
}

// turn is how long a subject is asked before it is the next one's turn.
const turn = 25 * time.Millisecond

// inTurns asks all subjects in turns, and gives what a request took of each of them: the
// processor's time in microseconds, round by round. The clock would count what else the
// machine does. Every other round goes from the last to the first, so that neighbours have
// each other for the one before.
func inTurns(subjects []subject, rounds int) ([][]float64, error) {
	requests := make([]int, len(subjects))
	for i, subject := range subjects {
		one, err := timed(subject, 20)
		if err != nil {
			return nil, err
		}
		requests[i] = max(5, int(float64(turn.Microseconds())/max(one, 1)))
	}
	took := make([][]float64, len(subjects))
	for round := range rounds {
		for k := range subjects {
			i := k
			if round%2 == 1 {
				i = len(subjects) - 1 - k
			}
			each, err := timed(subjects[i], requests[i])
			if err != nil {
				return nil, err
			}
			took[i] = append(took[i], each)
		}
	}
	return took, nil
}

// timed is the processor time of a request in microseconds. The garbage of the turns before
// is no part of it.
func timed(of subject, requests int) (float64, error) {
	runtime.GC()
	before, err := processorTime()
	if err != nil {
		return 0, err
	}
	for range requests {
		if err := of.ask(); err != nil {
			return 0, fmt.Errorf("%s: %w", of.name, err)
		}
	}
	after, err := processorTime()
	return float64((after - before).Nanoseconds()) / 1e3 / float64(requests), err
}

func processorTime() (time.Duration, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, fmt.Errorf("read processor time: %w", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}

// compared is the median of what a comparison makes of two subjects round by round. A machine
// that is now slower and now faster changes both alike, but not the comparison.
func compared(one, other []float64, by func(one, other float64) float64) float64 {
	each := make([]float64, 0, len(one))
	for round := range one {
		each = append(each, by(one[round], other[round]))
	}
	return median(each)
}

func ratio(one, other float64) float64 { return one / other }

func difference(one, other float64) float64 { return one - other }

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return (sorted[len(sorted)/2] + sorted[(len(sorted)-1)/2]) / 2
}
