package main

import (
	"errors"
	"slices"
	"time"

	"github.com/kubewarden/kubewarden-operator/test/bench/child"
)

// processorTime is what processes have used of the processors, in user and kernel mode.
type processorTime struct{ client, server time.Duration }

// add takes in what was used between two looks.
func (p *processorTime) add(before, after processorTime) {
	p.client += after.client - before.client
	p.server += after.server - before.server
}

// processorTime looks at this process, which is the client, and at the server.
func (s *server) processorTime() (processorTime, error) {
	own, ownErr := child.OwnCPU()
	used, err := child.CPU(s.command.Process.Pid)
	return processorTime{client: own, server: used}, errors.Join(ownErr, err)
}

// median of an even number is the lower of the two in the middle.
func median(of []time.Duration) time.Duration {
	return percentile(slices.Sorted(slices.Values(of)), 50)
}
