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

// turn is about how long a subject is asked before it is the next one's turn.
const turn = 10 * time.Millisecond

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
// is no part of it, and neither are the first requests, which find caches and pools empty.
func timed(of subject, requests int) (float64, error) {
	runtime.GC()
	if err := asked(of, requests/8+1); err != nil {
		return 0, err
	}
	before, err := processorTime()
	if err != nil {
		return 0, err
	}
	if err := asked(of, requests); err != nil {
		return 0, err
	}
	after, err := processorTime()
	return float64((after - before).Nanoseconds()) / 1e3 / float64(requests), err
}

func asked(of subject, requests int) error {
	for range requests {
		if err := of.ask(); err != nil {
			return fmt.Errorf("%s: %w", of.name, err)
		}
	}
	return nil
}

func processorTime() (time.Duration, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, fmt.Errorf("read processor time: %w", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}

// undisturbed is what a request takes when nothing else is in the way: the tenth part of all
// rounds took less. What others do on the machine takes caches and memory from whoever is
// measured, for seconds at times; it never gives any.
func undisturbed(rounds []float64) float64 {
	return slices.Sorted(slices.Values(rounds))[len(rounds)/10]
}
