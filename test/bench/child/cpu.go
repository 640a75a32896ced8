package child

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// ticks is how many the kernel counts in a second, for whoever reads /proc (USER_HZ).
const ticks = 100

// CPU is how long a process has run on processors so far, all of them together.
func CPU(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read the times of a process: %w", err)
	}
	return parseStat(stat)
}

// OwnCPU is CPU of this process, to the microsecond.
func OwnCPU() (time.Duration, error) {
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return 0, fmt.Errorf("read the times of this process: %w", err)
	}
	return time.Duration(own.Utime.Nano() + own.Stime.Nano()), nil
}

// parseStat reads utime and stime, the 14th and 15th field (proc_pid_stat(5)). The second one
// is the name of the program in brackets, which may have spaces and brackets itself.
func parseStat(stat []byte) (time.Duration, error) {
	const before, user, system = 2, 14, 15
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) <= system-before-1 {
		return 0, errors.New("read the times of a process: there are too few")
	}
	var sum int64
	for _, field := range []int{user, system} {
		count, err := strconv.ParseInt(string(fields[field-before-1]), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read the times of a process: %w", err)
		}
		sum += count
	}
	return time.Duration(sum) * (time.Second / ticks), nil
}
