package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
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
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return processorTime{}, fmt.Errorf("read processor time of the client: %w", err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.command.Process.Pid))
	if err != nil {
		return processorTime{}, fmt.Errorf("read processor time of the server: %w", err)
	}
	used, err := parseProcessorTime(string(stat))
	return processorTime{client: time.Duration(own.Utime.Nano() + own.Stime.Nano()), server: used}, err
}

// parseProcessorTime adds up utime and stime, fields 14 and 15 of proc_pid_stat(5). Their
// unit is a hundredth of a second on every platform that Go runs on. The second field, a
// name in parentheses, may have blanks and parentheses of its own.
func parseProcessorTime(stat string) (time.Duration, error) {
	const afterName, hundredth = 11, 10 * time.Millisecond
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < afterName+2 {
		return 0, fmt.Errorf("read processor time: %d fields after the name, want at least %d", len(fields), afterName+2)
	}
	var sum time.Duration
	for _, field := range fields[afterName : afterName+2] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read processor time: %w", err)
		}
		sum += time.Duration(ticks) * hundredth
	}
	return sum, nil
}

// median of an even number is the lower of the two in the middle.
func median(of []time.Duration) time.Duration {
	return percentile(slices.Sorted(slices.Values(of)), 50)
}
